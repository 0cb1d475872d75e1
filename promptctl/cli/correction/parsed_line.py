"""A command line split into command, options and arguments, including lines that no command accepts."""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.correction import synonyms
from promptctl.cli.parameters import FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# The names of the parameters whose values are references.
REFERENCES = ("reference", "references_", "left", "right")


class ParsedLine:
    """The command of a line, its options with their values, and its arguments. A correction changes them in place."""

    def __init__(self, name: str, rest: Sequence[str]) -> None:
        self.name = name
        self.options: list[tuple[str, str | None]] = []
        self.arguments: list[str] = []
        self.accepted_options = COMMANDS[name].options
        # Whether the corrections so far leave only one meaning.
        self.is_unambiguous = True
        pending = list(reversed(rest))
        while pending:
            word = pending.pop()
            if word == "--":
                self.arguments += reversed(pending)
                break
            if word == "-" or not word.startswith("-"):
                self.arguments.append(word)
                continue
            spelling, equals, value = word.partition("=")
            option = self.accepted_options.get(spelling)
            is_flag = spelling in synonyms.FLAGS or (option is not None and option.kind == FLAG)
            if equals and is_flag:
                # No command accepts a flag with a value.
                self.options.append((word, None))
            elif equals:
                self.options.append((spelling, value))
            elif is_flag or spelling in ("--help", "-h") or not pending or pending[-1].startswith("--"):
                self.options.append((spelling, None))
            else:
                self.options.append((spelling, pending.pop()))

    def replace(self, arguments: list[str], option: str | None = None, value: str | None = None) -> None:
        """Replace the arguments and add an option. Mark the line as ambiguous."""
        self.arguments, self.is_unambiguous = arguments, False
        if option is not None:
            self.options.insert(0, (option, value))

    def words(self) -> list[str]:
        """Return the line as words, with the options last."""
        options = [word for option, value in self.options for word in (option, value) if word is not None]
        if any(argument.startswith("-") and argument != "-" for argument in self.arguments):
            return [*self.name.split(" "), *options, "--", *self.arguments]
        return [*self.name.split(" "), *self.arguments, *options]
