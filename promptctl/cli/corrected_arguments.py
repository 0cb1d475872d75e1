"""References and other arguments as people write them, put right on a typed line."""

from __future__ import annotations

from promptctl.cli import typed_line, typed_words
from promptctl.cli.table import COMMANDS

_ACTIVE = ("active", "live", "current")
# A command that reads, where a word more is carried out and not asked back.
_READS = ("show", "render", "diff", "chat")
_ACCESSES = {
    "read": "viewer", "reader": "viewer", "readonly": "viewer", "read-only": "viewer", "ro": "viewer",
    "app": "application", "service": "application", "client": "application",
    "write": "operator", "writer": "operator", "ops": "operator", "editor": "operator",
}  # fmt: skip


def correct(line: typed_line.Line) -> None:
    """Put the arguments right in place; what the line then means may be one of several things (`one_meaning`)."""
    arguments = line.arguments
    kinds = [parameter for parameter, _, _ in COMMANDS[line.name]["arguments"]]
    if not arguments or not kinds:
        return
    if line.name == "diff":
        _sides(line)
    elif kinds[0] in typed_line.REFERENCES:
        _joined(line)
        line.arguments[0] = reference(line, line.arguments[0])
        if kinds[0] == "references_" or line.name == "delete":
            line.arguments = [reference(line, each) for each in line.arguments]
    elif line.name == "rollback" and len(arguments) == 2 and (version := typed_words.version(arguments[1])) is not None:
        line.arguments, line.one_meaning = arguments[:1], False
        line.options.insert(0, ("--to", version))
    elif kinds[0] in ("name", "names"):
        _bare(line)
    elif line.name == "db grant" and len(arguments) == 2:
        line.arguments, line.one_meaning = arguments[:1], False
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
        line.one_meaning = False
    elif (
        line.name.startswith("release ")
        and len(arguments) == 1
        and (number := typed_words.version(arguments[0])) is not None
    ):
        line.arguments, line.one_meaning = [number], False
    if line.name == "deactivate" and len(arguments) == 2 and (version := typed_words.version(arguments[1])) is not None:
        line.arguments, line.one_meaning = arguments[:1], False
        line.options.insert(0, ("--expect", version))
    elif line.name == "stats" and len(arguments) == 2 and (age := typed_words.age(arguments[1])) is not None:
        line.arguments, line.one_meaning = arguments[:1], False
        line.options.append(("--since", age))
    if line.name == "chat" and len(line.arguments) > 2:
        line.arguments, line.one_meaning = [line.arguments[0], " ".join(line.arguments[1:])], False
    elif line.name == "split" and len(line.arguments) > 1 and line.arguments[1] in ("off", "stop", "end"):
        line.arguments, line.one_meaning = [line.arguments[0].partition("@")[0], *line.arguments[2:]], False
        line.options.append(("--off", None))
    elif line.name == "split" and len(line.arguments) == 3 and line.arguments[2].lower() in ("percent", "pct", "%"):
        line.arguments, line.one_meaning = [line.arguments[0], typed_words.share(line.arguments[1])], False
    elif line.name == "split" and line.arguments[1:] == ["50/50"]:
        line.arguments, line.one_meaning = [line.arguments[0], "50%"], False
    elif (
        line.name == "split"
        and len(line.arguments) == 1
        and (meant := typed_words.with_share(line.arguments[0])) is not None
    ):
        line.arguments, line.one_meaning = meant, False
    elif line.name == "render" and len(line.arguments) > 1 and all("=" in each for each in line.arguments[1:]):
        line.options += [("--var", each) for each in line.arguments[1:]]
        line.arguments, line.one_meaning = line.arguments[:1], False


def _bare(line: typed_line.Line) -> None:
    """A command that takes a name: `stats D@2` is `stats D`."""
    name, at, version = line.arguments[0].partition("@")
    if at:
        line.one_meaning = False
        line.arguments[0] = name
        if line.name in ("rollback", "deactivate") and (number := typed_words.version(version)) is not None:
            line.options.insert(0, ("--to" if line.name == "rollback" else "--expect", number))
    if (
        line.name in ("stats", "history", "resolve")
        and len(line.arguments) == 2
        and typed_words.version(line.arguments[1])
    ):
        line.arguments, line.one_meaning = line.arguments[:1], False
    elif line.name == "resolve" and len(line.arguments) == 2:
        option = "--attribute" if "=" in line.arguments[1] else "--unit"
        line.options.append((option, line.arguments[1]))
        line.arguments, line.one_meaning = line.arguments[:1], False
    elif line.name == "route set" and line.arguments[1:] == ["[]"]:
        line.name, line.arguments, line.one_meaning = "route unset", line.arguments[:1], False
    elif line.name == "route set" and len(line.arguments) == 2:
        line.options.append(("--file", line.arguments[1]))
        line.arguments, line.one_meaning = line.arguments[:1], False
    elif line.name == "create" and len(line.arguments) > 2:
        line.arguments, line.one_meaning = [line.arguments[0], " ".join(line.arguments[1:])], False


def _joined(line: typed_line.Line) -> None:
    """A version in a word of its own: `show D 2`, `activate D v3`, `split D 3 10%`."""
    joined: list[str] = []
    for place, word in enumerate(line.arguments):
        is_message = line.name == "chat" and place == 1 and len(line.arguments) < 3 and not word.startswith(("@", "#"))
        is_share = line.name == "split" and place == 1 and len(line.arguments) < 3 and not word.startswith(("@", "#"))
        is_next = line.name == "delete" and bool(joined) and "@" in joined[-1] and word.isdigit()
        if is_next:
            # `delete D@1 2`
            joined.append(f"{joined[-1].partition('@')[0]}@{word}")
            line.one_meaning = False
            continue
        version = None if is_message or is_share or not joined or "@" in joined[-1] else typed_words.version(word)
        if version is None:
            joined.append(word)
        else:
            joined[-1] = f"{joined[-1]}@{version}"
            # A message to Claude may begin with a number, and is paid for.
            line.one_meaning &= line.name in _READS and (line.name != "chat" or len(line.arguments) < 3)
    line.arguments = joined


def _sides(line: typed_line.Line) -> None:
    """The two sides of a diff: `D 1 2`, `D@1 2` and `D@1 @2` name both; of `D 2` it is not plain which."""
    line.arguments = [side for word in line.arguments for side in _range(line, word)]
    name = line.arguments[0].partition("@")[0]
    sides = [reference(line, line.arguments[0])]
    for word in line.arguments[1:]:
        version = typed_words.version(word)
        sides.append(reference(line, word) if version is None else f"{name}@{version}")
    if "@" not in sides[0] and len(sides) == 3:
        sides = sides[1:]
    elif "@" not in sides[0] and len(sides) == 2 and typed_words.version(line.arguments[1]) is not None:
        sides, line.one_meaning = sides[1:], False
    line.arguments = sides


def _range(line: typed_line.Line, word: str) -> list[str]:
    """Return `D@1..2` and `D@1..D@2` as two sides, `1..2` as two versions."""
    first, dots, second = word.partition("..")
    second = second.removeprefix(".")
    if (
        not dots
        or typed_words.version(first.rpartition("@")[2]) is None
        or typed_words.version(second.rpartition("@")[2]) is None
    ):
        return [word]
    line.one_meaning = False
    name, at, _ = first.rpartition("@")
    return [first, second if "@" in second or not at else f"{name}@{second}"]


def reference(line: typed_line.Line, word: str) -> str:
    """Return a reference as we write it: `D@v2` is `D@2`, `D:2` and `D#2` are asked back."""
    if word != word.strip() or " @" in word:
        line.one_meaning = False
        word = "@".join(part.strip() for part in word.split("@"))
    folder, slash, file = word.rpartition("/")
    stem, dot, suffix = file.partition(".")
    if (
        slash
        and dot
        and suffix in ("txt", "md")
        and stem[:1] == "v"
        and (number := typed_words.version(stem)) is not None
    ):
        line.one_meaning = False
        return f"{folder.removeprefix('./').removeprefix('prompts/')}@{number}"
    name, at, version = word.partition("@")
    if at:
        if version.endswith(".0") and version[:-2].isdigit():
            line.one_meaning = False
            version = version[:-2]
        if version in _ACTIVE and line.name in _READS:
            return name
        if (number := typed_words.version(version)) is None:
            if not version:
                line.one_meaning = False
                return name
            return word
        if (not version.isdigit() and version[:1] not in "vV") or version[:1] == "0":
            line.one_meaning = False
        return f"{name}@{number}"
    for separator in ("==", "=", ":", "#"):
        name, found, version = word.partition(separator)
        if found and name and (number := typed_words.version(version)) is not None:
            line.one_meaning = False
            return f"{name}@{number}"
    return word
