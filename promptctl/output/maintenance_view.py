"""Present the result of `db maintain`. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import answers

if TYPE_CHECKING:
    from promptctl.records import Timestamp


class Maintained:
    """The result of `db maintain` so far.

    `waiting` counts the uses that cannot be rolled up before an older transaction ends. `another_session` is true if
    another session was rolling up, so this one did not. Single uses from before the hour `dropped_before` were dropped;
    it is None if dropping was not requested. The same for replies of tests: `dropped_replies` from before the time
    `replies_dropped_before`.
    """

    def __init__(self) -> None:
        self.rolled_up = 0
        self.waiting = 0
        self.another_session = False
        self.dropped = 0
        self.dropped_before: Timestamp | None = None
        self.dropped_replies = 0
        self.replies_dropped_before: Timestamp | None = None


def show(result: Maintained, label: str, form: str) -> None:
    """Show the result in sentences; quiet: nothing."""
    answers.show_sentences(_sentences(result, label), vars(result), form)


def _sentences(result: Maintained, label: str) -> list[str]:
    rolled_up = f"rolled up {_counted(result.rolled_up, 'use')}" if result.rolled_up else ""
    if result.another_session:
        sentences = [f"{rolled_up + ', and ' if rolled_up else ''}another session is rolling up in {label}"]
    else:
        sentences = [f"{rolled_up or 'no uses to roll up'} in {label}"]
    if result.waiting:
        waits = "waits" if result.waiting == 1 else "wait"
        sentences.append(f"{_counted(result.waiting, 'use')} {waits} for an open transaction")
    if result.dropped_before is not None:
        # An hour is shown as `2026-11-29 03:00`, and midnight as the day alone.
        hour = result.dropped_before.removesuffix("Z").removesuffix(":00").replace("T", " ").removesuffix(" 00:00")
        uses = _counted(result.dropped, "single use") if result.dropped else "no single uses"
        totals = "; totals are kept" if result.dropped else ""
        sentences.append(f"dropped {uses} from before {hour} UTC{totals}")
    if result.replies_dropped_before is not None:
        replies = _counted(result.dropped_replies, "reply", "replies") if result.dropped_replies else "no replies"
        time = result.replies_dropped_before[:16].replace("T", " ")
        runs = "; runs are kept" if result.dropped_replies else ""
        sentences.append(f"dropped {replies} of tests from before {time} UTC{runs}")
    return sentences


def _counted(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}".replace(",", " ")
