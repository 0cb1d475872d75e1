"""A command line that cannot be read, put right: what has one meaning is carried out, all else is a hint to paste.

Read on the way to an error only, so words that are right pay nothing for it.
"""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import corrected_arguments, corrected_options, direct, tried_words, typed_line, typed_words, unquoted
from promptctl.cli.table import COMMANDS, SHARED
from promptctl.rules import references, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


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
    line = typed_line.Line(name, rest)
    line.one_meaning = one_meaning
    corrected_options.correct(line)
    corrected_arguments.correct(line)
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
    if len(words) == 2 and words[0] == "release" and typed_words.version(words[1]) is not None:
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
                elif parameter in (*typed_line.REFERENCES, "against"):
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
