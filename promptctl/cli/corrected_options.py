"""Options that people bring from other tools, put right on a typed line."""

from __future__ import annotations

from promptctl.cli import corrected_arguments, tried_words, typed_line, typed_words
from promptctl.cli.table import COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FOLDER_OPTIONS = {
    "export": ("-o", "--output", "--dir", "--folder"),
    "sync": ("-f", "--file", "--dir", "--folder", "--path"),
}
# Commands that change nothing.
READING = (
    "list", "show", "history", "stats", "diff", "render", "resolve", "route show", "release list", "release show",
    "db status", "db schema", "completion",
)  # fmt: skip
_IN_JSON = (
    "--format json", "-o json", "--output json", "--output-format json", "--json true", "--format yaml", "-o yaml",
    "--output yaml",
)  # fmt: skip


def correct(line: typed_line.Line) -> None:
    """Put the options right in place, some of them as arguments; one that nothing is known of stays."""
    first = [each for each in line.options if each[0] in tried_words.NAME_OPTIONS]
    options = first + [each for each in line.options if each not in first]
    line.options = []
    for option, value in options:
        if option == "--to" and value in ("previous", "prev", "last") and line.name == "rollback":
            line.one_meaning = False
        elif option in line.known:
            line.options.append(_value(line, option, value))
        else:
            _other_option(line, option, value)


def _value(line: typed_line.Line, option: str, value: str | None) -> tuple[str, str | None]:
    """The value of an option that exists: `--to v2` and `--to D@2` are `--to 2`, `--against @2` is `--against D@2`."""
    name = line.arguments[0].partition("@")[0] if line.arguments else ""
    if value is not None and option in ("--to", "--expect"):
        of, at, number = value.rpartition("@")
        if (version := typed_words.version(number)) is not None and (not at or of in ("", name)):
            return option, version
    if (
        value is not None
        and option in ("--since", "--at", "--keep")
        and (age := typed_words.age(value)) not in (None, value)
    ):
        line.one_meaning = False
        return option, age
    if value is not None and option == "--against":
        if name and (version := typed_words.version(value)) is not None:
            return option, f"{name}@{version}"
        return option, corrected_arguments.reference(line, value)
    return option, value


def _other_option(line: typed_line.Line, option: str, value: str | None) -> None:
    """Put an option of another tool into ours; what is not known stays, and is then not read."""
    line.one_meaning = False
    arguments = COMMANDS[line.name]["arguments"]
    first = arguments[0][0] if arguments else ""
    joined = f"{option} {value}" if value is not None else option
    if option == "--version" and value is not None and line.name == "rollback":
        line.options.append(("--to", typed_words.version(value) or value))
    elif option == "--version" and value is not None and line.name == "deactivate":
        line.options.append(("--expect", typed_words.version(value) or value))
    elif (
        option in tried_words.VERSION_OPTIONS
        and value is not None
        and first in typed_line.REFERENCES
        and line.arguments
        and "@" not in line.arguments[0]
    ):
        line.arguments[0] = f"{line.arguments[0]}@{typed_words.version(value) or value}"
    elif option in ("--share", "--percent", "--percentage", "--weight", "--traffic") and line.name == "split":
        line.arguments.append(typed_words.share(value or ""))
    elif option in ("--days", "--hours", "--weeks") and (value or "").isdigit():
        number = int(value or 0) * (7 if option == "--weeks" else 1)
        age = f"{number}{'h' if option == '--hours' else 'd'}"
        line.options.append(("--keep" if line.name == "db maintain" else "--since", age))
    elif joined in _IN_JSON:
        line.options.append(("--json", None))
    elif option in ("--format", "-o", "--output") and value in ("text", "table", "wide", "plain", "tsv", "name"):
        if value == "name":
            line.options.append(("--quiet", None))
    elif option in ("--no-color", "--no-colour"):
        line.options.append(("--color", "never"))
    elif option in ("--daily", "--hourly") and "--by" in line.known:
        line.options.append(("--by", "day" if option == "--daily" else "hour"))
    elif option[1:].isdigit() and option[0] == "-" and int(option) < 0 and "--limit" in line.known:
        line.options.append(("--limit", str(-int(option))))
    elif option in tried_words.PATTERN_OPTIONS and value is not None and line.name == "list":
        line.arguments.append(value)
    elif option == "--vars" and value is not None and value.lstrip().startswith("{"):
        _variables(line, value)
    elif joined in ("--format csv", "-o csv", "--output csv") and "--csv" in line.known:
        line.options.append(("--csv", None))
    elif option in ("--all", "-a"):
        if "--limit" in line.known:
            line.options.append(("--limit", "0"))
    elif option == "-V":
        line.options.append(("--verbose", None))
    elif line.name == "chat" and option in ("-m", "--message") and value is not None:
        if value.startswith("claude"):
            line.options.append(("--model", value))
        else:
            line.arguments.append(value)
    elif line.name in _FOLDER_OPTIONS and option in _FOLDER_OPTIONS[line.name] and value is not None:
        line.arguments.append(value)
    elif (
        option in tried_words.NAME_OPTIONS and value is not None and first in ("name", "names", *typed_line.REFERENCES)
    ):
        line.arguments.insert(0, value)
    elif option == "--dry-run" and line.name in READING:
        pass
    elif option == "--stdin":
        line.options.append(("--file", "-"))
        if value is not None:
            line.arguments.append(value)
    elif (ours := tried_words.OPTIONS.get(option)) is not None and (not ours or ours in line.known):
        if ours:
            line.options.append((ours, value))
        elif value is not None:
            line.arguments.append(value)
    else:
        line.options.append((option, value))


def _variables(line: typed_line.Line, text: str) -> None:
    """Give the values of a JSON object one by one; what is none stays as it is, and is then not read."""
    import json

    try:
        values: Any = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        line.options.append(("--vars", text))
        return
    for key, value in values.items():  # pyright: ignore[reportUnknownVariableType] - JSON of a person
        line.options.append(("--var", f"{key}={value}"))
