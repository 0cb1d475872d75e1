"""Ages as people write them."""

from __future__ import annotations

import pytest

from promptctl import errors
from promptctl.rules import ages


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("1w", 604_800), (" 7d ", 604_800)],
)
def test_an_age_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert ages.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1", "1.5h", "-1h", "+1h", "1 h", "1H", "1y", "\uff11h", "1h2m"])
def test_what_is_not_an_age_is_refused(text: str) -> None:
    assert ages.seconds_or_none(text) is None
    with pytest.raises(errors.Usage, match="is not an age") as refused:
        ages.parse(text)
    assert (refused.value.code, refused.value.hint) == ("invalid_time", "write 12h, 30d or 8w")


@pytest.mark.parametrize("text", ["365000d", "60000w", f"{'9' * 16}s"])
def test_an_age_of_a_thousand_years_is_out_of_range(text: str) -> None:
    with pytest.raises(errors.Usage, match="is out of range"):
        ages.parse(text)
