"""A command line that cannot be read, put right: what has one meaning is carried out, all else is a hint to paste.

Read on the way to an error only, so words that are right pay nothing for it.
"""

from __future__ import annotations

from promptctl import errors, references, shares
from promptctl.cli import direct, tried_words, unquoted
from promptctl.cli.table import COMMANDS, SHARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# The arguments of each kind, by the name of the parameter.
_REFERENCES = ("reference", "references_", "left", "right")
_FOLDER_OPTIONS = {
    "export": ("-o", "--output", "--dir", "--folder"),
    "sync": ("-f", "--file", "--dir", "--folder", "--path"),
}
_ACTIVE = ("active", "live", "current")
# A command that reads, where a word more is carried out and not asked back.
_READS = ("show", "render", "diff", "chat")


class _Line:
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

    def words(self) -> list[str]:
        """Return the line as words, options last."""
        options = [word for option, value in self.options for word in (option, value) if word is not None]
        dashes = ["--"] if any(each.startswith("-") and each != "-" for each in self.arguments) else []
        if dashes:
            return [*self.name.split(" "), *options, *dashes, *self.arguments]
        return [*self.name.split(" "), *self.arguments, *options]


def accepted(words: Sequence[str]) -> list[str] | None:
    """Return the words that a line stands for which can mean one thing only; None: it is not such a line."""
    meant, one_meaning = _corrected(words)
    return meant if one_meaning and meant is not None and _differs(meant, words) else None


def corrected(words: Sequence[str]) -> list[str] | None:
    """Return the command line that was probably meant, one that the commands read; None: nothing is known of it."""
    meant, _ = _corrected(words)
    return meant if meant is not None and _differs(meant, words) else None


def _differs(meant: Sequence[str], words: Sequence[str]) -> bool:
    """Whether the commands read two lines differently: the order of options is no difference."""
    return list(meant) != list(words) and ((read := direct.read(meant)) is None or read != direct.read(words))


def instead(words: Sequence[str]) -> tuple[str, str] | None:
    """Return why there is no such command, and what to run instead; None: nothing is known of the word."""
    place = 1 if len(words) > 1 and words[0] in ("db", "release", "route") else 0
    if not words or (entry := tried_words.WITHOUT_COMMAND.get((words[0] if place else "", words[place]))) is None:
        return None
    import shlex

    why, hint = entry
    after = [shlex.quote(word) for word in words[place + 1 :] if not word.startswith("-")]
    if hint.count("{") > len(after):
        after += ["OLD", "NEW"][len(after) :] if "{1}" in hint else [""]
    return why, hint.format(*after).rstrip()


def is_split_text(words: Sequence[str]) -> bool:
    """Whether a text without quotes runs on into the arguments: `rollback D --reason too concise`.

    So is an argument right behind an option's text of one word, where another argument stands before that option.
    """
    name, rest = direct.command(words)
    return name is not None and _unquoted_text(name, rest) is not None


def _unquoted_text(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of a text that runs on; None where the command can be read as it stands."""
    return unquoted.place(name, rest) if direct.read([*name.split(" "), *rest]) is None else None


def _corrected(words: Sequence[str]) -> tuple[list[str] | None, bool]:
    words, one_meaning = _with_command_first(words)
    name, rest = direct.command(words)
    if name is None:
        meant = _other_command(words)
        if meant is None:
            return None, False
        words, one_meaning = meant, False
        if words[:1] in (["--version"], ["--help"]):
            return words[:1], False
        name, rest = direct.command(words)
        if name is None:
            return None, False
    if "--help" in rest or "-h" in rest:
        return [*name.split(" "), "--help"], False
    if (run_on := _unquoted_text(name, rest)) is not None:
        first, end = run_on
        rest, one_meaning = [*rest[:first], " ".join(rest[first:end]), *rest[end:]], False
    line = _Line(name, rest)
    line.one_meaning = one_meaning
    _options(line)
    _arguments(line)
    meant = line.words()
    return (meant, line.one_meaning) if _is_read(meant) else (None, False)


def _with_command_first(words: Sequence[str]) -> tuple[list[str], bool]:
    """Options that every command has may stand before the command."""
    before: list[str] = []
    rest = list(words)
    while rest and (known := SHARED.get(rest[0].partition("=")[0])) is not None:
        count = 1 if known[1] == direct.FLAG or "=" in rest[0] else 2
        before, rest = [*before, *rest[:count]], rest[count:]
    if not before or not rest:
        return list(words), True
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *before, *rest[end:]], True


def _other_command(words: Sequence[str]) -> list[str] | None:
    """Return the words with a command of ours in the place of what was tried, or the nearest."""
    for length in (2, 1):
        tried = words[:length]
        family = tried[0] if len(tried) == 2 else ""
        if len(tried) == length and (target := tried_words.COMMANDS.get((family, tried[-1].lower()))):
            name = target.partition(" --")[0]
            if name in COMMANDS or target.startswith("--"):
                return _spread(target, words[length:])
            return None
    if not words:
        return None
    if words[0] == "db" and len(words) > 1 and words[1] in COMMANDS:
        return list(words[1:])
    import difflib

    if words[0] in ("db", "release", "route") and len(words) > 1:
        near = difflib.get_close_matches(f"{words[0]} {words[1]}", list(COMMANDS), n=1, cutoff=0.8)
        return [*str(near[0]).split(" "), *words[2:]] if near else None
    near = difflib.get_close_matches(words[0], [name for name in COMMANDS if " " not in name], n=1, cutoff=0.7)
    if near:
        return [str(near[0]), *words[1:]]
    whole = words[0] if words[0] in COMMANDS else None
    return [*whole.split(" "), *words[1:]] if whole else None


def _spread(target: str, rest: Sequence[str]) -> list[str]:
    """Return the words of a target with what follows; where `status NAME` was tried, `show NAME` is meant."""
    if rest and target in ("db status", "--version") and not rest[0].startswith("-"):
        return ["show", *rest]
    if rest and target in ("db start", "db stop", "db init", "db migrate", "release list") and rest[0][:1] != "-":
        line: list[str] = []
        line += target.split(" ")
        return line
    if target == "sync --dry-run" and "--dry-run" in rest:
        return ["sync", *rest]
    name, dashes, option = target.partition(" --")
    return [*name.split(" "), *rest, *([f"--{option}"] if dashes else [])]


def _options(line: _Line) -> None:
    options = line.options
    line.options = []
    for option, value in options:
        if option in line.known:
            line.options.append(_value(line, option, value))
        else:
            _other_option(line, option, value)


def _value(line: _Line, option: str, value: str | None) -> tuple[str, str | None]:
    """The value of an option that exists: `--to v2` and `--to D@2` are `--to 2`, `--against @2` is `--against D@2`."""
    name = line.arguments[0].partition("@")[0] if line.arguments else ""
    if value is not None and option in ("--to", "--expect"):
        of, at, number = value.rpartition("@")
        if (version := _version(number)) is not None and (not at or of in ("", name)):
            return option, version
    if value is not None and option == "--against":
        if name and (version := _version(value)) is not None:
            return option, f"{name}@{version}"
        return option, _reference(line, value)
    return option, value


def _other_option(line: _Line, option: str, value: str | None) -> None:
    """Put an option of another tool into ours; what is not known stays, and is then not read."""
    line.one_meaning = False
    arguments = COMMANDS[line.name]["arguments"]
    first = arguments[0][0] if arguments else ""
    joined = f"{option} {value}" if value is not None else option
    if option == "--version" and value is not None and line.name == "rollback":
        line.options.append(("--to", _version(value) or value))
    elif option == "--version" and value is not None and first in _REFERENCES and line.arguments:
        line.arguments[0] = f"{line.arguments[0]}@{_version(value) or value}"
    elif option in ("--share", "--percent", "--percentage", "--weight", "--traffic") and line.name == "split":
        line.arguments.append(_share(value or ""))
    elif option in ("--days", "--hours", "--weeks") and (value or "").isdigit():
        number = int(value or 0) * (7 if option == "--weeks" else 1)
        age = f"{number}{'h' if option == '--hours' else 'd'}"
        line.options.append(("--keep" if line.name == "db maintain" else "--since", age))
    elif joined in ("--format json", "-o json", "--output json", "--output-format json", "--json true"):
        line.options.append(("--json", None))
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
    elif option in ("--name", "--prompt") and value is not None and first in ("name", "names", "reference", "left"):
        line.arguments.insert(0, value)
    elif option == "--dry-run" and line.name in ("list", "show", "history", "stats", "diff", "render", "resolve"):
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


def _arguments(line: _Line) -> None:
    arguments = line.arguments
    kinds = [parameter for parameter, _, _ in COMMANDS[line.name]["arguments"]]
    if not arguments or not kinds:
        return
    if line.name == "diff":
        _sides(line)
    elif kinds[0] in _REFERENCES:
        _joined(line)
        line.arguments[0] = _reference(line, line.arguments[0])
        if kinds[0] == "references_" or line.name == "delete":
            line.arguments = [_reference(line, each) for each in line.arguments]
    elif line.name == "rollback" and len(arguments) == 2 and (version := _version(arguments[1])) is not None:
        line.arguments, line.one_meaning = arguments[:1], False
        line.options.insert(0, ("--to", version))
    elif kinds[0] in ("name", "names"):
        _bare(line)
    elif line.name == "db grant" and len(arguments) == 2:
        line.arguments, line.one_meaning = arguments[:1], False
        line.options.insert(0, ("--as", _ACCESSES.get(arguments[1].lower(), arguments[1])))
    elif line.name == "db grant":
        line.options = [
            (option, _ACCESSES.get((value or "").lower(), value) if option == "--as" else value)
            for option, value in line.options
            if option != "--as" or value is not None
        ]
        if not any(option == "--as" for option, _ in line.options):
            line.options.insert(0, ("--as", "application"))
        line.one_meaning = False
    if line.name == "chat" and len(line.arguments) > 2:
        line.arguments, line.one_meaning = [line.arguments[0], " ".join(line.arguments[1:])], False
    elif line.name == "split" and len(line.arguments) > 1 and line.arguments[1] in ("off", "stop", "end"):
        line.arguments, line.one_meaning = [line.arguments[0].partition("@")[0], *line.arguments[2:]], False
        line.options.append(("--off", None))
    elif line.name == "render" and len(line.arguments) > 1 and all("=" in each for each in line.arguments[1:]):
        line.options += [("--var", each) for each in line.arguments[1:]]
        line.arguments, line.one_meaning = line.arguments[:1], False


_ACCESSES = {
    "read": "viewer", "reader": "viewer", "readonly": "viewer", "read-only": "viewer", "ro": "viewer",
    "app": "application", "service": "application", "client": "application",
    "write": "operator", "writer": "operator", "ops": "operator", "editor": "operator",
}  # fmt: skip


def _bare(line: _Line) -> None:
    """A command that takes a name: `stats D@2` is `stats D`."""
    name, at, version = line.arguments[0].partition("@")
    if at:
        line.one_meaning = False
        line.arguments[0] = name
        if line.name in ("rollback", "deactivate") and (number := _version(version)) is not None:
            line.options.insert(0, ("--to" if line.name == "rollback" else "--expect", number))
    if line.name in ("stats", "history", "resolve") and len(line.arguments) == 2 and _version(line.arguments[1]):
        line.arguments, line.one_meaning = line.arguments[:1], False
    elif line.name == "resolve" and len(line.arguments) == 2:
        option = "--attribute" if "=" in line.arguments[1] else "--unit"
        line.options.append((option, line.arguments[1]))
        line.arguments, line.one_meaning = line.arguments[:1], False
    elif line.name == "route set" and len(line.arguments) == 2:
        line.options.append(("--file", line.arguments[1]))
        line.arguments, line.one_meaning = line.arguments[:1], False
    elif line.name == "create" and len(line.arguments) > 2:
        line.arguments, line.one_meaning = [line.arguments[0], " ".join(line.arguments[1:])], False


def _joined(line: _Line) -> None:
    """A version in a word of its own: `show D 2`, `activate D v3`, `split D 3 10%`."""
    joined: list[str] = []
    for place, word in enumerate(line.arguments):
        is_message = line.name == "chat" and place == 1 and not word.startswith(("@", "#"))
        is_share = line.name == "split" and place == 1 and len(line.arguments) < 3 and not word.startswith(("@", "#"))
        version = None if is_message or is_share or not joined or "@" in joined[-1] else _version(word)
        if version is None:
            joined.append(word)
        else:
            joined[-1] = f"{joined[-1]}@{version}"
            line.one_meaning &= line.name in _READS
    line.arguments = joined


def _sides(line: _Line) -> None:
    """The two sides of a diff: `D 1 2`, `D@1 2` and `D@1 @2` name both; of `D 2` it is not plain which."""
    name = line.arguments[0].partition("@")[0]
    sides = [_reference(line, line.arguments[0])]
    for word in line.arguments[1:]:
        version = _version(word)
        sides.append(_reference(line, word) if version is None else f"{name}@{version}")
    if "@" not in sides[0] and len(sides) == 3:
        sides = sides[1:]
    elif "@" not in sides[0] and len(sides) == 2 and _version(line.arguments[1]) is not None:
        sides, line.one_meaning = sides[1:], False
    line.arguments = sides


def _reference(line: _Line, word: str) -> str:
    """Return a reference as we write it: `D@v2` is `D@2`, `D:2` and `D#2` are asked back."""
    name, at, version = word.partition("@")
    if at:
        if version in _ACTIVE and line.name in _READS:
            return name
        if (number := _version(version)) is None:
            if not version:
                line.one_meaning = False
                return name
            return word
        if (not version.isdigit() and version[:1] not in "vV") or version[:1] == "0":
            line.one_meaning = False
        return f"{name}@{number}"
    for separator in ("==", "=", ":", "#"):
        name, found, version = word.partition(separator)
        if found and name and (number := _version(version)) is not None:
            line.one_meaning = False
            return f"{name}@{number}"
    return word


def _version(word: str) -> str | None:
    """Return the number that `2`, `v2`, `@2`, `#2` or `02` writes; None: it is no version."""
    digits = word.removeprefix("@").removeprefix("#")
    digits = digits[1:] if digits[:1] in ("v", "V") else digits
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11 and int(digits) > 0):
        return None
    return str(int(digits)) if int(digits) <= references.HIGHEST_VERSION else None


def _share(text: str) -> str:
    try:
        shares.basis_points(text)
    except ValueError:
        return f"{text}%"
    return text


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - a value of any kind


def _is_read(words: Sequence[str]) -> bool:
    """Whether the commands read these words: the options, the arguments, each name and version."""
    read = direct.read(words)
    if read is None:
        return False
    name, values = read
    try:
        for parameter, value in values.items():
            for word in _as_list(value):
                if not isinstance(word, str):
                    continue
                if parameter == "references_":
                    references.parse_with_version(word, name)
                elif parameter in (*_REFERENCES, "against"):
                    references.parse(word)
                elif parameter in ("name", "names") and name != "stats":
                    references.check_name(word)
                elif parameter in ("to", "expect"):
                    references.parse_version(word)
                elif parameter == "share":
                    shares.basis_points(word)
    except (errors.Usage, ValueError):
        return False
    return True
