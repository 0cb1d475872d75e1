"""promptctl resolve."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import resolve_view as output
from promptctl.rules import attributes, references
from promptctl.store import resolving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.cli.run import Run


def resolve(run: Run, name: str, unit: str | None = None, attribute: list[str] | None = None) -> None:
    """Show which version a request gets, and why.

    Returns the same answer that an application gets: the attributes choose a step
    of the prompt's route, then the unit decides the split. Without --unit, a
    bucket is selected at random, as for an application that passes no unit.

    In a pipe, the fields are: name, version, epoch, the step of the route, the
    bucket, the candidate's share. --json adds content, settings and metadata.

    Examples:
      promptctl resolve default-system-prompt --unit user-42
      promptctl resolve default-system-prompt --attribute plan=enterprise --json
    """
    bare, at, _ = name.partition("@")
    if at:
        raise errors.Usage("usage", f"resolve selects the version: use the name {bare}", hint=f"promptctl show {name}")
    prompt = references.check_name(bare)
    values = _attributes(attribute or [])
    with run.database() as database:
        resolution = resolving.resolve(database, prompt, unit, values)
    run.log("Using prompt", name=resolution.name, version=resolution.version, epoch=resolution.epoch)
    output.show(resolution, unit, values, run.form)


def _attributes(pairs: list[str]) -> dict[str, Any]:
    """Return the values of attributes by key. Raises Usage for a text that is not KEY=VALUE."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise errors.Usage("usage", f"--attribute needs KEY=VALUE, not {references.quoted(pair)}")
        value = values[key] = attributes.parse(text)
        if isinstance(value, str) and "\0" in value:
            raise errors.Usage("nul_in_text", f"the attribute {key} has a NUL character, which PostgreSQL cannot store")
    return values
