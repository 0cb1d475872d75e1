"""Make the manual pages in man/ from the declarations of the commands and from their help. No command imports this.

    python -m promptctl.cli.man_pages man/

writes them. The macros are those of man(7), which groff and mandoc read.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from promptctl import __version__
from promptctl.cli import catalogue, help
from promptctl.cli import parameters as p

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from promptctl.cli.parameters import Parameter

# Characters that roff interprets, or that it would print as typographic ones. A pasted command must stay a command.
_ESCAPES = {
    "\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq",
}  # fmt: skip
_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)])([.:]) (?=[A-Z\\])")
# A line of a list in a help text: a term, two blanks or more, and its meaning.
_ROW = re.compile(r"  (\S(?:.*?\S)?) {2,}(\S.*)")
_EXIT_CODE = re.compile(r"(\d+) ((?:(?! {2,}|\n).)+)")


def pages() -> dict[str, str]:
    """Return the text of every manual page by the name of its file, for example `promptctl-sync.1`."""
    names = [*catalogue.FAMILIES, *catalogue.COMMANDS]
    families = {f"{_title(name)}.1": _family_page(name) for name in catalogue.FAMILIES}
    commands = {f"{_title(name)}.1": _command_page(name) for name in catalogue.COMMANDS}
    assert len(families | commands) == len(names)
    return {"promptctl.1": _overview_page()} | families | commands


def _overview_page() -> str:
    introduction, closing = help.INTRODUCTION, help.CLOSING
    description = introduction.partition("\n\n")[0]
    parts = _by_heading(closing)
    lines = _head("promptctl", "manage system prompts in PostgreSQL")
    lines += [
        ".SH SYNOPSIS",
        ".B promptctl",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
        ".br",
        ".B promptctl help",
        ".I COMMAND",
        ".br",
        ".B promptctl \\-\\-version",
        ".SH DESCRIPTION",
        *_text(description),
    ]
    lines.append(".SH COMMANDS")
    for heading, commands in catalogue.HEADINGS:
        lines += [f".SS {_escaped(heading)}", *_summaries(commands)]
    lines += [
        ".SH OPTIONS OF EVERY COMMAND", *_parameters([*p.SHARED, p.HELP]),
        ".SH DATABASE", *_blocks(parts["promptctl uses"]),
        ".SH ENVIRONMENT", *_blocks(parts["Other environment variables"]),
        ".SH EXIT STATUS", *_exit_codes(parts["Exit codes"]),
        ".SH SEE ALSO", *_references([*catalogue.FAMILIES, *catalogue.COMMANDS]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _family_page(family: str) -> str:
    commands = [name for name in catalogue.COMMANDS if name.startswith(f"{family} ")]
    lines = _head(_title(family), _as_name(catalogue.FAMILIES[family]))
    lines += [
        ".SH SYNOPSIS", f".B promptctl {family}", ".I COMMAND", "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION", *_text(catalogue.FAMILIES[family]),
        ".SH COMMANDS", *_summaries(commands),
        ".SH SEE ALSO", ".BR promptctl (1)",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _command_page(name: str) -> str:
    command = catalogue.COMMANDS[name]
    arguments = command.arguments
    options = [parameter for parameter in command.parameters if parameter.spellings]
    description, _, examples = help.description(command).partition("Examples:\n")
    lines = _head(_title(name), _as_name(command.summary))
    lines += [".SH SYNOPSIS", f".B promptctl {_escaped(name)}", "[\\fIOPTIONS\\fR]"]
    for parameter in [*arguments, *(option for option in options if option.is_required)]:
        lines.append(_usage(parameter) if parameter.is_required else f"[{_usage(parameter)}]")
    lines += [".SH DESCRIPTION", *_text(command.summary)]
    if description.strip():
        lines += [".PP", *_blocks(description)]
    for heading, parameters in (("ARGUMENTS", arguments), ("OPTIONS", options)):
        if parameters:
            lines += [f".SH {heading}", *_parameters(parameters)]
    lines += [".SH OPTIONS OF EVERY COMMAND", *_parameters([*p.SHARED, p.HELP])]
    if examples:
        lines += [".SH EXAMPLES", *_as_written(examples.rstrip("\n").split("\n"))]
    family = name.partition(" ")[0]
    related = [family] if family in catalogue.FAMILIES else []
    lines += [
        ".SH EXIT STATUS", "0 if the command succeeds.", "The other exit codes are described in", ".BR promptctl (1).",
        ".SH SEE ALSO", ".BR promptctl (1)" + ("," if related else ""), *_references(related),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _title(name: str) -> str:
    return f"promptctl-{name.replace(' ', '-')}"


def _head(title: str, summary: str) -> list[str]:
    # Without a date, so that a page changes only with its content.
    return [
        '.\\" Made from the commands: python -m promptctl.cli.man_pages man/',
        f'.TH {_escaped(title.upper())} 1 "" "promptctl {__version__}" "promptctl manual"',
        # Ragged and without hyphens, so that no word of a command is broken.
        ".ad l",
        ".nh",
        ".SH NAME",
        f"{_escaped(title)} \\- {_escaped(summary)}",
    ]


def _as_name(summary: str) -> str:
    """Return a summary as the section NAME has it: without a capital and without the final dot."""
    return summary[0].lower() + summary[1:].rstrip(".")


def _summaries(names: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for name in names:
        lines += [".TP", f".BR {_escaped(_title(name))} (1)", *_text(catalogue.COMMANDS[name].summary)]
    return lines


def _references(names: Sequence[str]) -> list[str]:
    titles = sorted(_title(name) for name in names)
    return [f".BR {_escaped(title)} (1){',' * (title != titles[-1])}" for title in titles]


def _parameters(parameters: Sequence[Parameter]) -> list[str]:
    lines: list[str] = []
    for parameter in parameters:
        lines += [".TP", _usage(parameter), *_text(parameter.help)]
    return lines


def _usage(parameter: Parameter) -> str:
    """Return how a parameter is written: spellings in bold, the value in italics."""
    if not parameter.spellings:
        return f"\\fI{_escaped(parameter.metavar)}\\fR"
    spellings = parameter.usage.removesuffix(parameter.metavar).strip() if parameter.metavar else parameter.usage
    spelled = ", ".join(f"\\fB{_escaped(spelling)}\\fR" for spelling in spellings.split(", "))
    return f"{spelled} \\fI{_escaped(parameter.metavar)}\\fR" if parameter.metavar else spelled


def _by_heading(closing: str) -> dict[str, str]:
    """Return the paragraphs of the end of the overview under the beginnings of their first lines."""
    beginnings = ("Every command has", "promptctl uses", "Other environment variables", "Exit codes")
    paragraphs = closing.split("\n\n")
    assert len(paragraphs) == len(beginnings)
    parts = {
        beginning: paragraph for beginning, paragraph in zip(beginnings, paragraphs, strict=True)
        if paragraph.startswith(beginning)
    }  # fmt: skip
    assert len(parts) == len(beginnings)
    rows = ("Other environment variables", "Exit codes")
    return {key: text.partition("\n")[2] if key in rows else text for key, text in parts.items()}


def _exit_codes(text: str) -> list[str]:
    lines: list[str] = []
    for code, meaning in _EXIT_CODE.findall(text):
        lines += [".TP", f".B {code}", *_text(meaning)]
    return lines


def _blocks(text: str) -> list[str]:
    """Return a help text as roff: paragraphs, lists, and other indented lines as they are."""
    lines: list[str] = []
    for paragraph in text.strip("\n").split("\n\n"):
        source = paragraph.split("\n")
        while source:
            is_indented = source[0].startswith(" ")
            count = next((n for n, line in enumerate(source) if line.startswith(" ") != is_indented), len(source))
            run, source = source[:count], source[count:]
            if not is_indented:
                lines += [".PP"] * bool(lines) + _text(" ".join(run))
            elif rows := _rows(run):
                for term, meaning in rows:
                    lines += [".TP", f"\\fB{_escaped(term)}\\fR", *_text(meaning)]
            else:
                lines += [*[".PP"] * bool(lines), *_as_written(run)]
    return lines


def _rows(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return the terms and meanings of a list, nothing if the lines are no list."""
    rows: list[tuple[str, str]] = []
    for line in lines:
        if match := _ROW.fullmatch(line):
            rows.append((match[1], match[2]))
        elif line.startswith("    ") and rows:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line.strip()}")
        else:
            return []
    return rows


def _text(text: str) -> list[str]:
    """Return prose as roff: a line for each sentence, with options in bold."""
    prepared = _OPTION.sub(lambda match: f"\1{match[0]}\2", " ".join(text.split()))
    escaped = _escaped(prepared).replace("\1", "\\fB").replace("\2", "\\fR")
    return [_protected(line) for line in _SENTENCE_END.sub("\\1\n", escaped).split("\n")]


def _as_written(lines: Sequence[str]) -> list[str]:
    return [".nf", *(_protected(_escaped(line.removeprefix("  "))) for line in lines), ".fi"]


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(c, c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)


def _protected(line: str) -> str:
    """Return a line that roff does not take for a request."""
    return f"\\&{line}" if line.startswith((".", "'")) else line


def main() -> None:
    """Write the pages into the folder that the command line names, and remove pages of commands that are gone."""
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    current = pages()
    for name in os.listdir(folder):
        if name.endswith(".1") and name not in current:
            os.unlink(os.path.join(folder, name))
    for name, text in current.items():
        with open(os.path.join(folder, name), "w", encoding="ascii", newline="\n") as file:
            file.write(text)


if __name__ == "__main__":
    main()
