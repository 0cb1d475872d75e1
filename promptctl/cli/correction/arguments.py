"""Correct references and other arguments on a parsed line."""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.correction import lenient_values
from promptctl.cli.correction.parsed_line import REFERENCES, ParsedLine

_ACTIVE = ("active", "live", "current")
# Commands that change nothing, whose correction runs without a question.
_READS = ("show", "render", "diff", "chat")
_ACCESSES = {
    "read": "viewer", "reader": "viewer", "readonly": "viewer", "read-only": "viewer", "ro": "viewer",
    "app": "application", "service": "application", "client": "application",
    "write": "operator", "writer": "operator", "ops": "operator", "editor": "operator",
}  # fmt: skip


def correct(line: ParsedLine) -> None:
    """Correct the arguments in place, and clear `is_unambiguous` where the line could mean something else."""
    arguments = line.arguments
    kinds = [argument.name for argument in COMMANDS[line.name].arguments]
    if not arguments or not kinds:
        return
    if line.name == "diff":
        _sides(line)
    elif kinds[0] in REFERENCES:
        _joined(line)
        line.arguments[0] = reference(line, line.arguments[0])
        if kinds[0] == "references_" or line.name == "delete":
            line.arguments = [reference(line, word) for word in line.arguments]
    elif (
        line.name == "rollback"
        and len(arguments) == 2
        and (version := lenient_values.version(arguments[1])) is not None
    ):
        line.arguments, line.is_unambiguous = arguments[:1], False
        line.options.insert(0, ("--to", version))
    elif kinds[0] in ("name", "names"):
        _bare(line)
    elif line.name == "db grant" and len(arguments) == 2:
        line.arguments, line.is_unambiguous = arguments[:1], False
        access = _ACCESSES.get(arguments[1].lower(), arguments[1])
        if access not in _ACCESSES.values():
            line.arguments, line.options = [], [("--help", None)]
            return
        line.options.insert(0, ("--as", access))
    elif line.name == "db grant":
        line.options = [
            (option, _ACCESSES.get((value or "").lower(), value) if option == "--as" else value)
            for option, value in line.options
            if option != "--as" or value is not None
        ]
        if not any(option == "--as" for option, _ in line.options):
            line.options.insert(0, ("--as", "application"))
        line.is_unambiguous = False
    elif (
        line.name.startswith("release ")
        and len(arguments) == 1
        and (number := lenient_values.version(arguments[0])) is not None
    ):
        line.arguments, line.is_unambiguous = [number], False
    if (
        line.name == "deactivate"
        and len(arguments) == 2
        and (version := lenient_values.version(arguments[1])) is not None
    ):
        line.arguments, line.is_unambiguous = arguments[:1], False
        line.options.insert(0, ("--expect", version))
    elif line.name == "stats" and len(arguments) == 2 and (age := lenient_values.age(arguments[1])) is not None:
        line.arguments, line.is_unambiguous = arguments[:1], False
        line.options.append(("--since", age))
    if line.name == "chat" and len(line.arguments) > 2:
        line.arguments, line.is_unambiguous = [line.arguments[0], " ".join(line.arguments[1:])], False
    elif line.name == "split":
        _split(line)
    elif line.name == "render" and len(line.arguments) > 1 and all("=" in word for word in line.arguments[1:]):
        line.options += [("--var", word) for word in line.arguments[1:]]
        line.arguments, line.is_unambiguous = line.arguments[:1], False


def _split(line: ParsedLine) -> None:
    """Correct the share of a split: `D off`, `D@2 10 percent`, `D@2 50/50`, `D@2=10%`."""
    if len(line.arguments) > 1 and line.arguments[1] in ("off", "stop", "end"):
        line.arguments, line.is_unambiguous = [line.arguments[0].partition("@")[0], *line.arguments[2:]], False
        line.options.append(("--off", None))
    elif len(line.arguments) == 3 and line.arguments[2].lower() in ("percent", "pct", "%"):
        line.arguments, line.is_unambiguous = [line.arguments[0], lenient_values.share(line.arguments[1])], False
    elif line.arguments[1:] == ["50/50"]:
        line.arguments, line.is_unambiguous = [line.arguments[0], "50%"], False
    elif len(line.arguments) == 1 and (corrected := lenient_values.with_share(line.arguments[0])) is not None:
        line.arguments, line.is_unambiguous = corrected, False


def _bare(line: ParsedLine) -> None:
    """Correct the arguments of a command that accepts a name: `stats D@2` to `stats D`."""
    name, at, version = line.arguments[0].partition("@")
    if at:
        line.is_unambiguous = False
        line.arguments[0] = name
        if line.name in ("rollback", "deactivate") and (number := lenient_values.version(version)) is not None:
            line.options.insert(0, ("--to" if line.name == "rollback" else "--expect", number))
    if (
        line.name in ("stats", "history", "resolve")
        and len(line.arguments) == 2
        and lenient_values.version(line.arguments[1])
    ):
        line.arguments, line.is_unambiguous = line.arguments[:1], False
    elif line.name == "resolve" and len(line.arguments) == 2:
        option = "--attribute" if "=" in line.arguments[1] else "--unit"
        line.options.append((option, line.arguments[1]))
        line.arguments, line.is_unambiguous = line.arguments[:1], False
    elif line.name == "route set" and line.arguments[1:] == ["[]"]:
        line.name, line.arguments, line.is_unambiguous = "route unset", line.arguments[:1], False
    elif line.name == "route set" and len(line.arguments) == 2:
        line.options.append(("--file", line.arguments[1]))
        line.arguments, line.is_unambiguous = line.arguments[:1], False
    elif line.name == "create" and len(line.arguments) > 2:
        line.arguments, line.is_unambiguous = [line.arguments[0], " ".join(line.arguments[1:])], False


def _joined(line: ParsedLine) -> None:
    """Join a name and a version in a separate word: `show D 2`, `activate D v3`, `split D 3 10%`."""
    joined: list[str] = []
    for place, word in enumerate(line.arguments):
        is_message = line.name == "chat" and place == 1 and len(line.arguments) < 3 and not word.startswith(("@", "#"))
        is_share = line.name == "split" and place == 1 and len(line.arguments) < 3 and not word.startswith(("@", "#"))
        is_next = line.name == "delete" and bool(joined) and "@" in joined[-1] and word.isdigit()
        if is_next:
            # `delete D@1 2`
            joined.append(f"{joined[-1].partition('@')[0]}@{word}")
            line.is_unambiguous = False
            continue
        version = None if is_message or is_share or not joined or "@" in joined[-1] else lenient_values.version(word)
        if version is None:
            joined.append(word)
        else:
            joined[-1] = f"{joined[-1]}@{version}"
            # A message to Claude may begin with a number, and sending it costs money.
            line.is_unambiguous &= line.name in _READS and (line.name != "chat" or len(line.arguments) < 3)
    line.arguments = joined


def _sides(line: ParsedLine) -> None:
    """Correct the two sides of a diff: `D 1 2`, `D@1 2` and `D@1 @2` name both, `D 2` is ambiguous."""
    line.arguments = [side for word in line.arguments for side in _range(line, word)]
    name = line.arguments[0].partition("@")[0]
    sides = [reference(line, line.arguments[0])]
    for word in line.arguments[1:]:
        version = lenient_values.version(word)
        sides.append(reference(line, word) if version is None else f"{name}@{version}")
    if "@" not in sides[0] and len(sides) == 3:
        sides = sides[1:]
    elif "@" not in sides[0] and len(sides) == 2 and lenient_values.version(line.arguments[1]) is not None:
        sides, line.is_unambiguous = sides[1:], False
    line.arguments = sides


def _range(line: ParsedLine, word: str) -> list[str]:
    """Return `D@1..2` and `D@1..D@2` as two sides, `1..2` as two versions."""
    first, dots, second = word.partition("..")
    second = second.removeprefix(".")
    if (
        not dots
        or lenient_values.version(first.rpartition("@")[2]) is None
        or lenient_values.version(second.rpartition("@")[2]) is None
    ):
        return [word]
    line.is_unambiguous = False
    name, at, _ = first.rpartition("@")
    return [first, second if "@" in second or not at else f"{name}@{second}"]


def reference(line: ParsedLine, word: str) -> str:
    """Return a corrected reference: `D@v2` becomes `D@2`, as do `D:2` and `D#2`, which are ambiguous."""
    if word != word.strip() or " @" in word:
        line.is_unambiguous = False
        word = "@".join(part.strip() for part in word.split("@"))
    folder, slash, file = word.rpartition("/")
    stem, dot, suffix = file.partition(".")
    if (
        slash
        and dot
        and suffix in ("txt", "md")
        and stem[:1] == "v"
        and (number := lenient_values.version(stem)) is not None
    ):
        line.is_unambiguous = False
        return f"{folder.removeprefix('./').removeprefix('prompts/')}@{number}"
    name, at, version = word.partition("@")
    if at:
        if version.endswith(".0") and version[:-2].isdigit():
            line.is_unambiguous = False
            version = version[:-2]
        if version in _ACTIVE and line.name in _READS:
            return name
        if (number := lenient_values.version(version)) is None:
            if not version:
                line.is_unambiguous = False
                return name
            return word
        if (not version.isdigit() and version[:1] not in "vV") or version[:1] == "0":
            line.is_unambiguous = False
        return f"{name}@{number}"
    for separator in ("==", "=", ":", "#"):
        name, is_separated, version = word.partition(separator)
        if is_separated and name and (number := lenient_values.version(version)) is not None:
            line.is_unambiguous = False
            return f"{name}@{number}"
    return word
