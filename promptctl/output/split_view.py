"""Present splits and their changes. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import answers, messages, stream, table_columns, tables
from promptctl.rules import shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.store.splits import Split, SplitChange


def show_change(change: SplitChange, label: str, form: str) -> None:
    """Show a change of a split: a sentence; in a pipe name, active version, candidate, share and previous share.

    Quiet: the reference of the candidate, else of the active version. `label` names the database.
    """
    if form == "json":
        stream.write_json(_document(change, label))
        return
    if form == "quiet":
        answers.write_references([(change.name, change.candidate_version or change.version)])
        return
    share = None if change.candidate_version is None else shares.percent(change.basis_points)
    before = None if change.previous_candidate is None else shares.percent(change.previous_basis_points)
    columns = table_columns.columns(NAME="name", ACTIVE="number", CANDIDATE="number", SHARE="name", BEFORE="name")
    row = (change.name, change.version, change.candidate_version, share, before)
    answers.show_changes([_sentence(change, label)], columns, [row])
    if change.rollout is not None:
        _note_rollout(change)
    elif stream.to_terminal() and change.changed and change.candidate_version is not None:
        messages.note(f"promptctl activate {change.name}@{change.candidate_version} activates it for all units")
        messages.note(f"promptctl split {change.name} --off ends the split")


def _note_rollout(change: SplitChange) -> None:
    """Report what the change did to the rollout of the prompt."""
    messages.note(f"rollout {change.rollout} of {change.name} is {change.rollout_state}")
    if change.rollout_state == "paused" and change.candidate_version is not None:
        from promptctl.output import rollout_view

        for sentence in rollout_view.after_pause(change.name, change.candidate_version, change.basis_points):
            messages.note(sentence)


def show_split(split: Split, label: str, form: str) -> None:
    """Show the current split of a prompt; quiet: the reference of the candidate, if there is one."""
    if form == "json":
        stream.write_json({key: value for key, value in split.as_dict().items() if not key.endswith("description")})
        return
    if form == "quiet":
        answers.write_references([(split.name, split.candidate_version)] if split.candidate_version is not None else [])
        return
    if split.candidate_version is None and stream.for_people():
        sentence = f"{split.name} has no split in {label}: {_without_split(split.active_version)}"
        answers.write_line(sentence)
        return
    rows: list[tuple[int, str, str | None]] = []
    if split.candidate_version is not None:
        rows.append((split.candidate_version, shares.percent(split.basis_points), split.candidate_description))
    if split.active_version is not None:
        rows.append((split.active_version, shares.percent(shares.ALL - split.basis_points), split.description))
    columns = table_columns.columns(VERSION="number", SHARE="number", DESCRIPTION="text")
    tables.show(columns, rows, marked=lambda place: rows[place][0] == split.active_version)
    if stream.for_people() and split.changed_at is not None:
        from promptctl.output import time_text

        reason = f": {split.reason}" if split.reason else ""
        changed = f"changed {time_text.moment(split.changed_at)} by {split.author}{reason}"
        stream.write("\n")
        answers.write_line(changed)
        answers.write_fact("seed", str(split.seed))


def _sentence(change: SplitChange, label: str) -> str:
    name, candidate, previous = change.name, change.candidate_version, change.previous_candidate
    share, previous_share = shares.percent(change.basis_points), shares.percent(change.previous_basis_points)
    if candidate is None:
        state = _without_split(change.version)
        if not change.changed:
            return f"{name} has no split in {label}: {state}"
        return f"ended the split of {name} in {label}: {state} (version {previous} had {previous_share})"
    rest = f"version {change.version} {'the rest' if change.basis_points < shares.ALL else 'none'}"
    if not change.changed:
        return f"{name}: version {candidate} already gets {share}, {rest}, in {label}"
    if previous is None:
        note = " (was none)"
    elif previous != candidate:
        note = f" (version {previous} had {previous_share})"
    elif share != previous_share:
        note = f" (was {previous_share})"
    else:
        note = " as before, with a new seed"
    return f"{name}: version {candidate} gets {share}{note}, {rest}, in {label}"


def _without_split(version: int | None) -> str:
    return "no version is active" if version is None else f"all units get version {version}"


def _document(change: SplitChange, label: str) -> dict[str, Any]:
    return {
        "message": _sentence(change, label),
        "name": change.name,
        "version": change.version,
        "candidate_version": change.candidate_version,
        "previous_candidate_version": change.previous_candidate,
        "basis_points": change.basis_points,
        "previous_basis_points": change.previous_basis_points,
        "seed": change.seed,
        "epoch": change.epoch,
        "changed": change.changed,
        "rollout": change.rollout,
        "rollout_state": change.rollout_state,
    }
