"""What `db maintain` did, as people and programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import messages, stream

if TYPE_CHECKING:
    from promptctl.records import Timestamp


class Maintained:
    """What was done, while it is being done.

    `waiting` uses could not be rolled up: a transaction is open that began before theirs ended. `another_session` was
    at it, so that this one was not. `dropped_before` is the hour from which on single uses are kept, None: all are.
    """

    def __init__(self) -> None:
        self.rolled_up = 0
        self.waiting = 0
        self.another_session = False
        self.dropped = 0
        self.dropped_before: Timestamp | None = None


def show(done: Maintained, label: str, form: str) -> None:
    """Say what was done; quiet: nothing."""
    sentences = _sentences(done, label)
    if form == "json":
        from promptctl.output import documents

        documents.show({"message": "; ".join(sentences)} | vars(done))
    elif form == "plain" and stream.to_terminal():
        stream.write("".join(sentence + "\n" for sentence in sentences))
    elif form == "plain":
        for sentence in sentences:
            messages.note(sentence)


def _sentences(done: Maintained, label: str) -> list[str]:
    some = f"rolled up {_counted(done.rolled_up, 'use')}" if done.rolled_up else ""
    if done.another_session:
        told = [f"{some + ', and ' if some else ''}another session is rolling up in {label}"]
    else:
        told = [f"{some or 'no uses to roll up'} in {label}"]
    if done.waiting:
        waits = "waits" if done.waiting == 1 else "wait"
        told.append(f"{_counted(done.waiting, 'use')} {waits} for an open transaction")
    if done.dropped_before is not None:
        moment = done.dropped_before.removesuffix("Z").removesuffix(":00").replace("T", " ").removesuffix(" 00:00")
        single = _counted(done.dropped, "single use") if done.dropped else "no single uses"
        stays = "; totals stay" if done.dropped else ""
        told.append(f"dropped {single} from before {moment} UTC{stays}")
    return told


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else what + 's'}".replace(",", " ")
