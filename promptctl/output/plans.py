"""A sync's plan as people and programs read it. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl import plan
from promptctl.output import messages, stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.plan import Change
    from promptctl.sync import Outcome

_SIGNS = {
    plan.NEW: ("+", stream.GREEN),
    plan.ACTIVATE: (">", stream.CYAN),
    plan.DESCRIBE: ("~", stream.YELLOW),
    plan.HELD: ("!", stream.YELLOW),
    plan.CONFLICT: ("x", stream.RED),
    plan.NOTE: ("#", stream.DIM),
}
_COUNTED = (
    (plan.NEW, "new", "new"),
    (plan.ACTIVATE, "activation", "activations"),
    (plan.DESCRIBE, "correction", "corrections"),
    (plan.HELD, "held back", "held back"),
    (plan.CONFLICT, "conflict", "conflicts"),
)


def show(outcome: Outcome, title: str, form: str) -> None:
    """Show a plan and what became of it; `title` says from where to where."""
    changes = outcome.plan.changes
    if form == "json":
        from promptctl.output import documents

        documents.show(
            {
                "title": title,
                "changes": [
                    {"kind": each.kind, "name": each.name, "version": each.version or None, "why": each.why}
                    for each in changes
                ],
                "applied": outcome.applied,
                "release": outcome.release,
            }
        )
    elif form == "quiet":
        done = (plan.NEW, plan.ACTIVATE, plan.DESCRIBE)
        stream.write("".join(f"{each.name}@{each.version}\n" for each in changes if each.kind in done))
    elif stream.to_terminal():
        stream.write(stream.one_line(title) + "\n")
        _lines(changes)
        stream.write(summary(outcome) + "\n")
    else:
        for each in changes:
            reference = f"{each.name}@{each.version}" if each.version else each.name
            stream.write(f"{each.kind}\t{reference}\t{stream.cell(each.why)}\n")
        messages.note(title)
        messages.note(summary(outcome))
    if form in ("json", "quiet") or not stream.to_terminal():
        for each in outcome.plan.of(plan.HELD) if form != "plain" else []:
            messages.note(f"{each.name} {each.why}")
    for each in outcome.plan.of(plan.HELD) if form == "plain" else []:
        messages.note(f"promptctl activate {each.name}@{each.version} releases {each.name}")


def summary(outcome: Outcome) -> str:
    """Return a plan in one line: `1 new, 1 activation; applied`."""
    counts: list[str] = []
    for kind, one, many in _COUNTED:
        if count := len(outcome.plan.of(kind)):
            counts.append(f"{count} {one if count == 1 else many}")
    if not counts:
        return "no changes"
    if not outcome.plan.would_change and not outcome.plan.of(plan.CONFLICT):
        return f"{', '.join(counts)}; no changes"
    ending = "applied" if outcome.applied else "nothing applied"
    release = f" as release {outcome.release}" if outcome.release else ""
    return f"{', '.join(counts)}; {ending}{release}"


def _lines(changes: Sequence[Change]) -> None:
    def subject(change: Change) -> str:
        return f"{change.name}@{change.version}" if change.kind not in (plan.ACTIVATE, plan.HELD) else change.name

    width = max((len(subject(change)) for change in changes), default=0)
    for change in changes:
        sign, style = _SIGNS[change.kind]
        stream.write(f"{stream.styled(sign, style)} {subject(change):<{width}}  {stream.one_line(change.why)}\n")
