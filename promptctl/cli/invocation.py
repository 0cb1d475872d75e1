"""One command line, and the call of its command."""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS, PAGED
from promptctl.cli.parameters import OF_RUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database


class Invocation:
    """A command line: its words and, after parsing, the name and the `Run` of its command."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.command: str | None = None
        self.run: Run | None = None

    @property
    def option_words(self) -> Sequence[str]:
        """The words before `--`. An option can only be among these."""
        return self.words[: self.words.index("--")] if "--" in self.words else self.words

    @property
    def is_json(self) -> bool:
        """Whether answers and errors are JSON. Before the options are parsed, the word --json decides."""
        return self.run.form == "json" if self.run is not None else "--json" in self.option_words

    @property
    def connection(self) -> Database | None:
        """The command's connection, if it has made one."""
        return None if self.run is None else self.run.connection

    def execute(self, name: str, values: dict[str, Any]) -> int:
        """Run a command with the values of its parameters; return its exit code."""
        from promptctl.cli.run import Run

        self.command = name
        # `Run` has the options that commands share. The function of the command gets the other values.
        shared = [parameter.name for parameter in OF_RUN if parameter.name in values]
        self.run = Run(**{option: values.pop(option) for option in shared})
        self.run.words = self.words
        if name in PAGED and self.run.form == "plain" and not (values.get("csv") or values.get("format")):
            from promptctl.output import stream

            stream.buffer_for_pager()
        module, function = COMMANDS[name].locate()
        # As importlib.import_module does, without the time to import importlib.
        loaded = __import__(module, fromlist=[function])
        return getattr(loaded, function)(self.run, **values) or 0
