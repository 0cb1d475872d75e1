"""The periods of reports: whole steps in UTC, that contain what was asked for."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl import errors
from promptctl.output import report_words
from promptctl.rules import report_periods
from promptctl.rules.report_periods import DAY, HOUR, WEEK

NOW = "2026-11-30T14:07:30.25Z"
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 30), timezones=st.just(timezone.utc))  # noqa: DTZ001 - strategies want them


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("-30d", None, (DAY, 30, "1 Nov 2026 to 30 Nov 2026, UTC", "2026-11-30T15:00:00Z", True)),
        ("-7d", None, (DAY, 7, "24 Nov 2026 to 30 Nov 2026, UTC", "2026-11-30T15:00:00Z", True)),
        ("-3h", None, (HOUR, 3, "30 Nov 2026 12:00 to 30 Nov 2026 15:00 UTC", "2026-11-30T15:00:00Z", True)),
        ("-4d", None, (HOUR, 96, "26 Nov 2026 15:00 to 30 Nov 2026 15:00 UTC", "2026-11-30T15:00:00Z", True)),
        ("-121d", None, (WEEK, 19, "27 Jul 2026 to 30 Nov 2026, UTC", "2026-11-30T15:00:00Z", True)),
        # A week begins on Monday, also in a period of the past.
        (
            "2026-01-01T00:00:00Z", "2026-07-02T00:00:00Z",
            (WEEK, 27, "29 Dec 2025 to 5 Jul 2026, UTC", "2026-07-06T00:00:00Z", False),
        ),
        (
            "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z",
            (DAY, 31, "1 Oct 2026 to 31 Oct 2026, UTC", "2026-11-01T00:00:00Z", False),
        ),
        # Parts of days are extended, and the future is cut off.
        ("2026-10-01T10:00:00Z", "-20d", (DAY, 41, "1 Oct 2026 to 10 Nov 2026, UTC", "2026-11-11T00:00:00Z", False)),
        ("-30d", "2027-01-01T00:00:00Z", (DAY, 30, "1 Nov 2026 to 30 Nov 2026, UTC", "2026-11-30T15:00:00Z", True)),
    ],
)  # fmt: skip
def test_a_period_is_whole_steps(since: str, until: str | None, expected: tuple[int, int, str, str, bool]) -> None:
    period = report_periods.choose(NOW, since, until)
    recent = report_periods.timestamp(period.recent_end)
    assert (period.step, period.steps, report_words.span(period), recent, period.is_running) == expected
    assert period.recent_end - period.recent_begin == DAY


@pytest.mark.parametrize(
    ("since", "until"),
    [("-0d", None), ("2026-12-01T00:00:00Z", None), ("2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z"), ("-2801d", None)],
)
def test_an_empty_and_a_long_period_are_refused(since: str, until: str | None) -> None:
    with pytest.raises(errors.Usage) as refusal:
        report_periods.choose(NOW, since, until)
    assert refusal.value.code == "invalid_time"


def test_what_the_last_day_is_compared_with() -> None:
    month, day, two_days = (report_periods.choose(NOW, since, None) for since in ("-30d", "-24h", "-2d"))
    assert report_periods.for_comparison(month) is month
    assert report_periods.for_comparison(two_days) is two_days
    compared = report_periods.for_comparison(day)
    assert report_periods.timestamp(compared.begin) == "2026-11-22T00:00:00Z"
    assert (compared.recent_begin, compared.recent_end, compared.cell) == (day.recent_begin, day.recent_end, DAY)


@given(TIMES, st.integers(1, 2800 * 86_400))
def test_a_period_contains_what_was_asked_for(until: datetime, seconds: int) -> None:
    since = until - timedelta(seconds=seconds)
    period = report_periods.choose(NOW, since.isoformat(), until.isoformat())
    assert period.begin <= report_periods.seconds(since.isoformat())
    assert period.end >= until.timestamp() - 1
    assert (period.end - period.begin) % period.step == 0
    assert period.begin % period.cell == period.end % period.cell == 0
    assert 1 <= period.steps <= 402
    assert period.step != WEEK or datetime.fromtimestamp(period.begin, timezone.utc).weekday() == 0
    ticks = report_words.ticks(period)
    assert len(ticks) <= 8
    assert all(0 <= place < 1 for place, _ in ticks)
