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
# Commands that change nothing.
READING = (
    "list", "show", "history", "stats", "diff", "render", "resolve", "route show", "release list", "release show",
    "db status", "db schema", "completion",
)  # fmt: skip
_IN_JSON = (
    "--format json", "-o json", "--output json", "--output-format json", "--json true", "--format yaml", "-o yaml",
    "--output yaml",
)  # fmt: skip
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
    is_other_command = name is None
    if name is None:
        meant = _other_command(_without_noun(words))
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
    if "--help" in meant:
        return meant, False
    if _is_read(meant):
        return meant, line.one_meaning
    # Of the words behind a command of another tool nothing may be known: its help lists ours.
    return ([*name.split(" "), "--help"], False) if is_other_command else (None, False)


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


def _without_noun(words: Sequence[str]) -> list[str]:
    """Return the words without the kind of thing that is named: `get prompt D` is `get D`, `prompt list` is `list`."""
    first, second = [*words[:2], "", ""][:2]
    if first in tried_words.NOUNS and (second in COMMANDS or ("", second) in tried_words.COMMANDS):
        lists_versions = first.startswith("version") and len(words) > 2 and _target(second) == "list"
        return ["show" if lists_versions else second, *words[2:]]
    if second in tried_words.NOUNS and ("", first) in tried_words.COMMANDS:
        reads = _target(first) == "show"
        return ["list"] if reads and len(words) == 2 and second == "prompts" else [first, *words[2:]]
    return list(words)


def _target(word: str) -> str:
    return tried_words.COMMANDS.get(("", word), word)


def _other_command(words: Sequence[str]) -> list[str] | None:
    """Return the words with a command of ours in the place of what was tried, or the nearest."""
    if words and words[0] in COMMANDS and " " not in words[0]:
        return list(words)
    for length in (2, 1):
        tried = words[:length]
        family = tried[0] if len(tried) == 2 else ""
        if len(tried) == length and (target := tried_words.COMMANDS.get((family, tried[-1].lower()))):
            name = target.partition(" --")[0]
            if name in COMMANDS or target.startswith("--"):
                return _spread(target, words[length:], tried[-1].lower())
            return None
    if not words:
        return None
    if words[0] == "db" and len(words) > 1 and words[1] in COMMANDS:
        return list(words[1:])
    if len(words) == 2 and words[0] == "release" and _version(words[1]) is not None:
        return ["release", "show", words[1]]
    import difflib

    if words[0] in ("db", "release", "route") and len(words) > 1:
        near = difflib.get_close_matches(f"{words[0]} {words[1]}", list(COMMANDS), n=1, cutoff=0.8)
        if not near and words[0] == "route" and not words[1].startswith("-"):
            return ["route", "show" if len(words) == 2 else "set", *words[1:]]
        return [*str(near[0]).split(" "), *words[2:]] if near else None
    near = difflib.get_close_matches(words[0], [name for name in COMMANDS if " " not in name], n=1, cutoff=0.7)
    if near:
        return [str(near[0]), *words[1:]]
    tried = [word for family, word in tried_words.COMMANDS if not family and len(word) > 4]
    if near := difflib.get_close_matches(words[0], tried, n=1, cutoff=0.8):
        return _other_command([str(near[0]), *words[1:]])
    whole = words[0] if words[0] in COMMANDS else None
    return [*whole.split(" "), *words[1:]] if whole else None


def _spread(target: str, rest: Sequence[str], tried: str) -> list[str]:
    """Return the words of a target with what follows; where `status NAME` was tried, `show NAME` is meant."""
    if tried in ("status", "version") and rest and not rest[0].startswith("-"):
        return ["show", *rest]
    if target == "--version" or (target == "db status" and rest and not rest[0].startswith("-")):
        return [*target.split(" ")]
    if rest and target in ("db start", "db stop", "db init", "db migrate", "release list") and rest[0][:1] != "-":
        line: list[str] = []
        line += target.split(" ")
        return line
    if target == "route show" and not rest:
        return ["list"]
    if target == "sync --dry-run" and "--dry-run" in rest:
        return ["sync", *rest]
    name, dashes, option = target.partition(" --")
    return [*name.split(" "), *rest, *([f"--{option}"] if dashes else [])]


def _options(line: _Line) -> None:
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


def _value(line: _Line, option: str, value: str | None) -> tuple[str, str | None]:
    """The value of an option that exists: `--to v2` and `--to D@2` are `--to 2`, `--against @2` is `--against D@2`."""
    name = line.arguments[0].partition("@")[0] if line.arguments else ""
    if value is not None and option in ("--to", "--expect"):
        of, at, number = value.rpartition("@")
        if (version := _version(number)) is not None and (not at or of in ("", name)):
            return option, version
    if value is not None and option in ("--since", "--at", "--keep") and (age := _age(value)) not in (None, value):
        line.one_meaning = False
        return option, age
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
    elif option == "--version" and value is not None and line.name == "deactivate":
        line.options.append(("--expect", _version(value) or value))
    elif (
        option in tried_words.VERSION_OPTIONS
        and value is not None
        and first in _REFERENCES
        and line.arguments
        and "@" not in line.arguments[0]
    ):
        line.arguments[0] = f"{line.arguments[0]}@{_version(value) or value}"
    elif option in ("--share", "--percent", "--percentage", "--weight", "--traffic") and line.name == "split":
        line.arguments.append(_share(value or ""))
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
    elif option in tried_words.NAME_OPTIONS and value is not None and first in ("name", "names", *_REFERENCES):
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


def _variables(line: _Line, text: str) -> None:
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
    elif line.name.startswith("release ") and len(arguments) == 1 and (number := _version(arguments[0])) is not None:
        line.arguments, line.one_meaning = [number], False
    if line.name == "deactivate" and len(arguments) == 2 and (version := _version(arguments[1])) is not None:
        line.arguments, line.one_meaning = arguments[:1], False
        line.options.insert(0, ("--expect", version))
    elif line.name == "stats" and len(arguments) == 2 and (age := _age(arguments[1])) is not None:
        line.arguments, line.one_meaning = arguments[:1], False
        line.options.append(("--since", age))
    if line.name == "chat" and len(line.arguments) > 2:
        line.arguments, line.one_meaning = [line.arguments[0], " ".join(line.arguments[1:])], False
    elif line.name == "split" and len(line.arguments) > 1 and line.arguments[1] in ("off", "stop", "end"):
        line.arguments, line.one_meaning = [line.arguments[0].partition("@")[0], *line.arguments[2:]], False
        line.options.append(("--off", None))
    elif line.name == "split" and len(line.arguments) == 3 and line.arguments[2].lower() in ("percent", "pct", "%"):
        line.arguments, line.one_meaning = [line.arguments[0], _share(line.arguments[1])], False
    elif line.name == "split" and line.arguments[1:] == ["50/50"]:
        line.arguments, line.one_meaning = [line.arguments[0], "50%"], False
    elif line.name == "split" and len(line.arguments) == 1 and (meant := _with_share(line.arguments[0])) is not None:
        line.arguments, line.one_meaning = meant, False
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
    elif line.name == "route set" and line.arguments[1:] == ["[]"]:
        line.name, line.arguments, line.one_meaning = "route unset", line.arguments[:1], False
    elif line.name == "route set" and len(line.arguments) == 2:
        line.options.append(("--file", line.arguments[1]))
        line.arguments, line.one_meaning = line.arguments[:1], False
    elif line.name == "create" and len(line.arguments) > 2:
        line.arguments, line.one_meaning = [line.arguments[0], " ".join(line.arguments[1:])], False


def _with_share(word: str) -> list[str] | None:
    """Return `D@3=10%` and `D@3:10%` as a reference and a share; None: it is neither."""
    for separator in "=:":
        reference, found, share = word.partition(separator)
        if found and "@" in reference and share.rstrip("%").replace(".", "", 1).isdigit():
            return [reference, _share(share)]
    return None


def _age(text: str) -> str | None:
    """Return the age that `7d`, `7days` or `7 days` writes; None: it is none."""
    plain = text.lower().replace(" ", "")
    digits = plain.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = plain[len(digits) :]
    short = {"hours": "h", "hour": "h", "hrs": "h", "days": "d", "day": "d", "weeks": "w", "week": "w"}.get(unit, unit)
    return f"{digits}{short}" if digits.isdigit() and short in ("m", "h", "d", "w") else None


def _joined(line: _Line) -> None:
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
        version = None if is_message or is_share or not joined or "@" in joined[-1] else _version(word)
        if version is None:
            joined.append(word)
        else:
            joined[-1] = f"{joined[-1]}@{version}"
            # A message to Claude may begin with a number, and is paid for.
            line.one_meaning &= line.name in _READS and (line.name != "chat" or len(line.arguments) < 3)
    line.arguments = joined


def _sides(line: _Line) -> None:
    """The two sides of a diff: `D 1 2`, `D@1 2` and `D@1 @2` name both; of `D 2` it is not plain which."""
    line.arguments = [side for word in line.arguments for side in _range(line, word)]
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


def _range(line: _Line, word: str) -> list[str]:
    """Return `D@1..2` and `D@1..D@2` as two sides, `1..2` as two versions."""
    first, dots, second = word.partition("..")
    second = second.removeprefix(".")
    if not dots or _version(first.rpartition("@")[2]) is None or _version(second.rpartition("@")[2]) is None:
        return [word]
    line.one_meaning = False
    name, at, _ = first.rpartition("@")
    return [first, second if "@" in second or not at else f"{name}@{second}"]


def _reference(line: _Line, word: str) -> str:
    """Return a reference as we write it: `D@v2` is `D@2`, `D:2` and `D#2` are asked back."""
    if word != word.strip() or " @" in word:
        line.one_meaning = False
        word = "@".join(part.strip() for part in word.split("@"))
    folder, slash, file = word.rpartition("/")
    stem, dot, suffix = file.partition(".")
    if slash and dot and suffix in ("txt", "md") and stem[:1] == "v" and (number := _version(stem)) is not None:
        line.one_meaning = False
        return f"{folder.removeprefix('./').removeprefix('prompts/')}@{number}"
    name, at, version = word.partition("@")
    if at:
        if version.endswith(".0") and version[:-2].isdigit():
            line.one_meaning = False
            version = version[:-2]
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
