"""Records of the verdict on a run of test cases, and the numbers of its two stages. Pure."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

# The new replies to each case in the first stage, and those more for a suspicious case in the second stage.
FIRST_STAGE = 3
SECOND_STAGE = 7
# At most so many kept replies of the baseline are compared.
MOST_BASELINE = 30
# The probability of a false `worse`, for the whole run.
ERROR = 0.05
# The drop of the pass rate that does not matter, as a part of 1.
DEFAULT_MARGIN = 0.05


class Counts(Record):
    """The replies to one case: how many there are, and how many of them pass. Both of a side may be 0.

    Cases of one `group` belong together; None is a group of its own. A critical case must pass every time.
    """

    baseline_passes: int
    baseline_replies: int
    new_passes: int
    new_replies: int
    group: str | None = None
    is_critical: bool = False


class Verdict(Record):
    """What is known of a run.

    `change` is the change of the pass rate, a part of 1, and `interval` its interval. `p_overall` is the p-value of a
    drop over all cases. `broken` are the indexes of cases that are proven worse, and `p_of_case` has the p-value of
    each case. None stands for what cannot be calculated, without a baseline for example. `needed_cases` and
    `needed_repeats` are how many more could decide an undecided run. `reason` is a sentence.
    """

    word: Literal["worse", "not worse", "undecided", "better"]
    change: float | None
    interval: tuple[float, float] | None
    p_overall: float | None
    broken: tuple[int, ...]
    p_of_case: Sequence[float | None]
    needed_cases: int | None
    needed_repeats: int | None
    reason: str
