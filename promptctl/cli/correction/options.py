"""Replace options of other tools with ours on a parsed line."""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.correction import arguments, lenient_values, synonyms
from promptctl.cli.correction.parsed_line import REFERENCES, ParsedLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# By command: options of other tools whose value is the folder.
_FOLDER_OPTIONS = {
    "export": ("-o", "--output", "--dir", "--folder"),
    "sync": ("-f", "--file", "--dir", "--folder", "--path"),
}
# Commands that change nothing.
READING = (
    "list", "show", "history", "stats", "top", "diff", "render", "resolve", "route show", "rollout status",
    "release list", "release show", "test list", "test show", "db status", "db schema", "completion",
)  # fmt: skip
# Options of other tools, with their values, that mean --json.
_IN_JSON = (
    "--format json", "-o json", "--output json", "--output-format json", "--json true", "--format yaml", "-o yaml",
    "--output yaml",
)  # fmt: skip
# Options of other tools, some with their values, and the option that replaces them.
_REPLACEMENTS: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(_IN_JSON, ("--json", None)),
    **dict.fromkeys(("-o csv", "--output csv"), ("--csv", None)),
    **dict.fromkeys(("--format name", "-o name", "--output name"), ("--quiet", None)),
    **dict.fromkeys(("--no-color", "--no-colour"), ("--color", "never")),
    "--daily": ("--by", "day"),
    "--hourly": ("--by", "hour"),
    "-V": ("--verbose", None),
}
# Parameters of Claude's API whose value is an object or a list.
_STRUCTURED = ("messages", "output_config", "stop_sequences", "thinking", "tool_choice", "tools")


def correct(line: ParsedLine) -> None:
    """Correct the options in place. Some become arguments. An unknown option stays."""
    # Options such as --name first: they become the argument that other corrections read.
    name_options = [option for option in line.options if option[0] in synonyms.NAME_OPTIONS]
    options = name_options + [option for option in line.options if option not in name_options]
    line.options = []
    for option, value in options:
        # A rollback to the previous version needs no option.
        if option == "--to" and value in ("previous", "prev", "last") and line.name == "rollback":
            line.is_unambiguous = False
        elif option in line.accepted_options:
            line.options.append(_corrected(line, option, value))
        else:
            _replace(line, option, value)


def _corrected(line: ParsedLine, option: str, value: str | None) -> tuple[str, str | None]:
    """Return an option of ours with its value corrected: `--to D@v2` is `--to 2`, `--against @2` is `--against D@2`."""
    if value is None:
        return option, None
    name = line.arguments[0].partition("@")[0] if line.arguments else ""
    if option in ("--to", "--expect"):
        prompt, at, number = value.rpartition("@")
        if (version := lenient_values.version(number)) is not None and (not at or prompt in ("", name)):
            return option, version
    if option in ("--since", "--at", "--keep") and (age := lenient_values.age(value)) not in (None, value):
        line.is_unambiguous = False
        return option, age
    if option == "--against":
        if name and (version := lenient_values.version(value)) is not None:
            return option, f"{name}@{version}"
        return option, arguments.reference(line, value)
    return option, value


def _replace(line: ParsedLine, option: str, value: str | None) -> None:
    """Replace an option of another tool. An unknown option stays, so that no command accepts the line."""
    line.is_unambiguous = False
    declared = COMMANDS[line.name].arguments
    first_argument = declared[0].name if declared else ""
    has_bare_reference = first_argument in REFERENCES and bool(line.arguments) and "@" not in line.arguments[0]
    replacement = _REPLACEMENTS.get(f"{option} {value}") or _REPLACEMENTS.get(option)
    if replacement is not None and replacement[0] in line.accepted_options:
        line.options.append(replacement)
    elif option == "--version" and value is not None and line.name in arguments.OF_VERSION:
        line.options.append((arguments.OF_VERSION[line.name], lenient_values.version(value) or value))
    elif option in synonyms.VERSION_OPTIONS and value is not None and has_bare_reference:
        line.arguments[0] = f"{line.arguments[0]}@{lenient_values.version(value) or value}"
    elif option in ("--share", "--percent", "--percentage", "--weight", "--traffic") and line.name == "split":
        line.arguments.append(lenient_values.share(value or ""))
    elif option in ("--days", "--hours", "--weeks") and (value or "").isdigit():
        number = int(value or 0) * (7 if option == "--weeks" else 1)
        age = f"{number}{'h' if option == '--hours' else 'd'}"
        line.options.append(("--keep" if line.name == "db maintain" else "--since", age))
    elif option in ("--format", "-o", "--output") and value in ("text", "table", "wide", "plain", "tsv"):
        # The option is dropped, because text is the usual output.
        pass
    elif option[1:].isdigit() and option[0] == "-" and int(option) < 0 and "--limit" in line.accepted_options:
        # A number of lines, as in `head -5`.
        line.options.append(("--limit", str(-int(option))))
    elif option in synonyms.PATTERN_OPTIONS and value is not None and line.name == "list":
        line.arguments.append(value)
    elif option == "--vars" and value is not None and value.lstrip().startswith("{"):
        _add_variables(line, value)
    elif option in ("--all", "-a"):
        if "--limit" in line.accepted_options:
            line.options.append(("--limit", "0"))
    elif line.name == "chat" and option in ("-m", "--message") and value is not None:
        if value.startswith("claude"):
            line.options.append(("--model", value))
        else:
            line.arguments.append(value)
    elif line.name in _FOLDER_OPTIONS and option in _FOLDER_OPTIONS[line.name] and value is not None:
        line.arguments.append(value)
    elif option in synonyms.NAME_OPTIONS and value is not None and first_argument in ("name", "names", *REFERENCES):
        line.arguments.insert(0, value)
    elif line.name == "create" and value is not None and (assignment := _assignment(option, value)) is not None:
        line.options.append(("--request-set", assignment))
    elif option == "--dry-run" and line.name in READING:
        # The option is dropped, because the command changes nothing.
        pass
    elif option == "--stdin":
        line.options.append(("--file", "-"))
        if value is not None:
            line.arguments.append(value)
    # An empty synonym drops the option, and its value becomes an argument.
    elif (ours := synonyms.OPTIONS.get(option)) is not None and (not ours or ours in line.accepted_options):
        if ours:
            line.options.append((ours, value))
        elif value is not None:
            line.arguments.append(value)
    else:
        line.options.append((option, value))


def request_key(option: str) -> str | None:
    """Return the key of a request that an option names, as `tool_choice` for `--tool-choice`, or None."""
    from promptctl.folder import yaml_settings

    key = option.removeprefix("--").replace("-", "_")
    return key if option.startswith("--") and key in yaml_settings.REQUEST_PARAMETERS else None


def _assignment(option: str, value: str) -> str | None:
    """Return the value of --request-set that an option for a parameter of Claude's API means, None for any other."""
    if option == "--effort":
        return f"output_config.effort={value}"
    key = request_key(option)
    is_json = value[:1] in ("{", "[")
    if key == "thinking" and not is_json:
        return f"thinking.type={value}"
    # The value of --tools is the name of a file, and that of --messages a text, which no request has.
    if key is None or (key in _STRUCTURED and not is_json):
        return None
    return f"{key}={value}"


def _add_variables(line: ParsedLine, text: str) -> None:
    """Replace a JSON object by one --var for each value. Any other text stays, so that no command accepts it."""
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
