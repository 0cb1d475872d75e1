"""Show the result of a check without a database. `form` is plain, quiet, json or markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import messages, plan_view, stream

if TYPE_CHECKING:
    from promptctl.sync.offline import OfflineCheck


def show(result: OfflineCheck, folder: str, form: str) -> None:
    """Show the plan of a check, then what it covers. `folder` is the folder with its commit, for the title."""
    outcome = result.outcome
    title = f"{folder}, compared with {result.base.label}" if result.base else folder
    if form == "json":
        document = plan_view.document(outcome, title, {})
        stream.write_json(document | {"base": result.base and result.base.commit, "unchecked": result.unchecked})
        return
    if form == "markdown":
        from promptctl.output import plan_markdown

        plan_markdown.show(outcome, title, {}, _coverage(result))
        return
    plan_view.show(outcome, title, form, {})
    if outcome.refusal is None:
        messages.note(_coverage(result))


def _coverage(result: OfflineCheck) -> str:
    plan = result.outcome.plan
    prompts = plan.unchanged + len({change.name for change in plan.changes})
    counts = f"{_counted(prompts, 'prompt')}, {_counted(result.version_count, 'version')}"
    return f"checked without a database: {counts}; not checked: {'; '.join(result.unchecked)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
