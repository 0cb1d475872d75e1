"""Run one command with the values of its parameters."""

from __future__ import annotations

from promptctl.cli import catalogue
from promptctl.cli.run import Run
from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHARED = ("database_url", "json", "quiet", "verbose", "log_format", "color", "no_pager")

current: Run | None = None


def execute(name: str, values: dict[str, Any]) -> int | None:
    """Run the command of this name; `values` are the shared options' and its own. Returns its exit code, None for 0."""
    global current
    module, function = catalogue.locate(catalogue.COMMANDS[name])
    own = {key: value for key, value in values.items() if key not in _SHARED}
    current = run = Run(**{key: values[key] for key in _SHARED})
    if name in catalogue.PAGED and run.form == "plain" and not values.get("csv"):
        stream.hold_for_pager()
    # importlib.import_module without importing importlib.
    loaded = __import__(module, fromlist=[function])
    return getattr(loaded, function)(run, **own)
