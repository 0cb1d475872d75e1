"""Correct references and other arguments on a parsed line."""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.correction import lenient_values
from promptctl.cli.correction.parsed_line import REFERENCES, ParsedLine

# Words that other tools use for the active version.
_ACTIVE = ("active", "live", "current")
# By command that accepts names without versions: the option that selects a version.
OF_VERSION = {"rollback": "--to", "deactivate": "--expect"}
# Commands that change nothing. A line of theirs that is corrected may run at once.
_READS = ("show", "render", "diff", "chat", "tokens")
# By word of other tools: the access that it means.
_ACCESSES = {
    "read": "viewer", "reader": "viewer", "readonly": "viewer", "read-only": "viewer", "ro": "viewer",
    "app": "application", "service": "application", "client": "application",
    "review": "reviewer", "auditor": "reviewer",
    "cron": "ticker", "tick": "ticker",
    "write": "operator", "writer": "operator", "ops": "operator", "editor": "operator",
}  # fmt: skip


def correct(line: ParsedLine) -> None:
    """Correct the arguments in place. Clear `is_unambiguous` if the line could mean something else."""
    parameters = [argument.name for argument in COMMANDS[line.name].arguments]
    if not line.arguments or not parameters:
        return
    if line.name == "diff":
        _correct_sides(line)
    elif parameters[0] in REFERENCES:
        _join_versions(line)
        line.arguments[0] = reference(line, line.arguments[0])
        if line.name == "compare":
            _correct_compared(line)
        if parameters[0] == "references_" or line.name == "delete":
            line.arguments = [reference(line, word) for word in line.arguments]
    elif parameters[0] in ("name", "names"):
        _correct_names(line)
    elif line.name == "db grant":
        _correct_access(line)
    elif line.name.startswith("release "):
        numbers = [lenient_values.version(word) for word in line.arguments]
        if len(numbers) == 1 and numbers[0] is not None:
            line.replace([numbers[0]])
    first, *rest = line.arguments or [""]
    if line.name == "chat" and len(rest) > 1:
        line.replace([first, " ".join(rest)])
    elif line.name == "split":
        _correct_share(line)
    elif line.name == "render" and rest and all("=" in word for word in rest):
        line.options += [("--var", word) for word in rest]
        line.replace([first])


def _correct_compared(line: ParsedLine) -> None:
    """Correct the versions of a comparison: `D@1 2` to `D@1 @2`. A third version and an equal one are left out."""
    first, *words = line.arguments
    others = [_version_alone(word) for word in words]
    line.arguments = [first, *others]
    if "@" in first:
        others = [word for word in others if word.rpartition("@")[2] != first.rpartition("@")[2]][:1]
    if len(others) < len(words):
        # Nobody knows which of the versions was meant.
        line.replace([first, *others])


def _version_alone(word: str) -> str:
    """Return the version that `2` or `v2` means as `@2`, and any other word as it is."""
    version = None if "@" in word else lenient_values.version(word)
    return word if version is None else f"@{version}"


def _correct_access(line: ParsedLine) -> None:
    """Correct the access of a grant: `db grant LOGIN read` to `db grant LOGIN --as viewer`."""
    if len(line.arguments) == 2:
        access = _ACCESSES.get(line.arguments[1].lower(), line.arguments[1])
        if access in _ACCESSES.values():
            line.replace(line.arguments[:1], "--as", access)
        else:
            line.options = []
            line.replace([], "--help")
        return
    line.options = [
        (option, _ACCESSES.get((value or "").lower(), value) if option == "--as" else value)
        for option, value in line.options
        if option != "--as" or value is not None
    ]
    has_access = any(option == "--as" for option, _ in line.options)
    line.replace(line.arguments, None if has_access else "--as", "application")


def _correct_share(line: ParsedLine) -> None:
    """Correct the share of a split: `D off`, `D@2 10 percent`, `D@2 50/50`, `D@2=10%`."""
    first, *rest = line.arguments
    if rest and rest[0] in ("off", "stop", "end"):
        line.replace([first.partition("@")[0], *rest[1:]], "--off")
    elif len(rest) == 2 and rest[1].lower() in ("percent", "pct", "%"):
        line.replace([first, lenient_values.share(rest[0])])
    elif rest == ["50/50"]:
        line.replace([first, "50%"])
    elif not rest and (corrected := lenient_values.with_share(first)) is not None:
        line.replace(corrected)


def _correct_names(line: ParsedLine) -> None:
    """Correct the arguments of a command that accepts names: `stats D@2` to `stats D`, `rollback D 2` to `--to 2`."""
    name, at, version = line.arguments[0].partition("@")
    rest = line.arguments[1:]
    if at:
        line.replace([name, *rest])
        number = lenient_values.version(version)
        if (option := OF_VERSION.get(line.name)) and number is not None:
            line.options.insert(0, (option, number))
    if line.name == "create" and len(rest) > 1:
        line.replace([name, " ".join(rest)])
    if len(rest) != 1:
        return
    number = lenient_values.version(rest[0])
    if line.name in OF_VERSION:
        if number is not None and not at:
            line.replace([name], OF_VERSION[line.name], number)
    elif line.name in ("stats", "history", "resolve") and number is not None:
        line.replace([name])
    elif line.name == "stats" and (age := lenient_values.age(rest[0])) is not None:
        line.replace([name], "--since", age)
    elif line.name == "resolve":
        line.replace([name], "--attribute" if "=" in rest[0] else "--unit", rest[0])
    elif line.name == "route set" and rest == ["[]"]:
        line.name = "route unset"
        line.replace([name])
    elif line.name == "route set":
        line.replace([name], "--file", rest[0])


def _join_versions(line: ParsedLine) -> None:
    """Join a name and a version in a separate word: `show D 2`, `activate D v3`, `split D 3 10%`."""
    joined: list[str] = []
    for place, word in enumerate(line.arguments):
        is_message_or_share = (
            line.name in ("chat", "split") and place == 1 and len(line.arguments) < 3 and word[:1] not in ("@", "#")
        )
        # `delete D@1 2` has two versions of D.
        is_next_version = line.name == "delete" and bool(joined) and "@" in joined[-1] and word.isdigit()
        if is_next_version:
            joined.append(f"{joined[-1].partition('@')[0]}@{word}")
            line.is_unambiguous = False
            continue
        may_be_version = joined and "@" not in joined[-1] and not is_message_or_share
        version = lenient_values.version(word) if may_be_version else None
        if version is None:
            joined.append(word)
        else:
            joined[-1] = f"{joined[-1]}@{version}"
            # A message to Claude may begin with a number, and sending it costs money.
            line.is_unambiguous &= line.name in _READS and (line.name != "chat" or len(line.arguments) < 3)
    line.arguments = joined


def _correct_sides(line: ParsedLine) -> None:
    """Correct the two sides of a diff: `D 1 2`, `D@1 2` and `D@1 @2` have both, `D 2` is ambiguous."""
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
    """Return `D@1..2` and `D@1..D@2` as two references, `1..2` as two versions, and any other word alone."""
    first, dots, second = word.partition("..")
    # Three dots mean the same as two.
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
    """Return a corrected reference: `D@v2` means `D@2`. `D:2` and `D#2` probably mean it, so they are ambiguous."""
    if word != word.strip() or " @" in word:
        line.is_unambiguous = False
        word = "@".join(part.strip() for part in word.split("@"))
    # The file of a version: `prompts/D/v2.txt` means `D@2`.
    folder, slash, file = word.rpartition("/")
    stem, _, suffix = file.partition(".")
    is_version_file = slash and stem[:1] == "v" and suffix in ("txt", "md")
    if is_version_file and (number := lenient_values.version(stem)) is not None:
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
