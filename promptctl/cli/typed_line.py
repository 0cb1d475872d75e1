"""A command line taken apart as it was typed, also where it cannot be read."""

from __future__ import annotations

from promptctl.cli import direct, tried_words
from promptctl.cli.table import COMMANDS, SHARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# The arguments of each kind, by the name of the parameter.
REFERENCES = ("reference", "references_", "left", "right")


class Line:
    """A command line taken apart: the command, its options with their values, its arguments."""

    def __init__(self, name: str, rest: Sequence[str]) -> None:
        self.name = name
        self.options: list[tuple[str, str | None]] = []
        self.arguments: list[str] = []
        self.known = COMMANDS[name]["options"] | SHARED
        # Whether each correction so far leaves one meaning only.
        self.one_meaning = True
        pending = list(reversed(rest))
        while pending:
            word = pending.pop()
            if word == "--":
                self.arguments += reversed(pending)
                break
            if word == "-" or not word.startswith("-"):
                self.arguments.append(word)
                continue
            option, equals, value = word.partition("=")
            takes_none = option in tried_words.FLAGS or self.known.get(option, ("", ""))[1] == direct.FLAG
            if equals and takes_none:
                # A flag with a value is not read.
                self.options.append((word, None))
            elif equals:
                self.options.append((option, value))
            elif takes_none or option in ("--help", "-h") or not pending or pending[-1].startswith("--"):
                self.options.append((option, None))
            else:
                self.options.append((option, pending.pop()))

    def _takes_none(self, option: str) -> bool:
        if (known := self.known.get(option)) is not None:
            return known[1] == direct.FLAG
        return option in tried_words.FLAGS or option == "-n" or option[1:].isdigit()

    def words(self) -> list[str]:
        """Return the line as words, options last."""
        options = [word for option, value in self.options for word in (option, value) if word is not None]
        dashes = ["--"] if any(each.startswith("-") and each != "-" for each in self.arguments) else []
        if dashes:
            return [*self.name.split(" "), *options, *dashes, *self.arguments]
        return [*self.name.split(" "), *self.arguments, *options]
