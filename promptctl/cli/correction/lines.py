"""Correct a command line that no command accepts.

A correction runs if it is the only possible meaning of the line. Any other correction becomes a hint to paste.
"""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import fast_reader, unquoted_texts
from promptctl.cli.catalogue import COMMANDS, FAMILIES
from promptctl.cli.correction import arguments, lenient_values, options, synonyms
from promptctl.cli.correction.parsed_line import REFERENCES, ParsedLine
from promptctl.cli.parameters import FLAG, SHARED, by_spelling
from promptctl.rules import references, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_WITHOUT_ARGUMENTS = ("db status", "db start", "db stop", "db init", "db migrate", "release list")


def certain_correction(words: Sequence[str]) -> list[str] | None:
    """Return the corrected words of a line that can mean only one thing, None for any other line."""
    correction, is_certain = _correction(words)
    return correction if is_certain and correction is not None and _differs(correction, words) else None


def likely_correction(words: Sequence[str]) -> list[str] | None:
    """Return the words of the line that was probably meant, if a command accepts it, else None."""
    correction, _ = _correction(words)
    return correction if correction is not None and _differs(correction, words) else None


def _differs(correction: Sequence[str], words: Sequence[str]) -> bool:
    """Whether two lines have different values. The order of options does not count."""
    if list(correction) == list(words):
        return False
    return (read := fast_reader.read(correction)) is None or read != fast_reader.read(words)


def reason_and_hint(words: Sequence[str]) -> tuple[str, str] | None:
    """Return why promptctl lacks another tool's command, and what to run instead. None if no tool's command matches."""
    family = words[0] if len(words) > 1 and words[0] in FAMILIES else ""
    command_at = 1 if family else 0
    if not words or (entry := synonyms.WITHOUT_COMMAND.get((family, words[command_at]))) is None:
        return None
    import shlex

    reason, hint = entry
    names = [shlex.quote(word) for word in words[command_at + 1 :] if not word.startswith("-")]
    # A hint has places for the names on the line. Without names, `promptctl show {0} | promptctl create {1} -f -` has
    # OLD and NEW in these places, and `promptctl history {0}` has nothing.
    placeholders = ["OLD", "NEW"] if "{1}" in hint else [""]
    return reason, hint.format(*names, *placeholders[len(names) :]).rstrip()


def unknown_option(command_path: str, spelling: str, spellings: Sequence[str], words: Sequence[str]) -> errors.Usage:
    """Return the error for an option that a command does not have.

    It names the nearest option, or --request for a parameter of Claude's API. If the line has a likely correction, it
    names none, because `hints` then replaces the hint by the corrected line.
    """
    import difflib

    question = ""
    if likely_correction(words) is None:
        # Many options are as near to --help as to what was meant.
        candidates = [
            option for option in spellings if option.startswith("--") and (option != "--help" or "h" in spelling)
        ]
        near = difflib.get_close_matches(spelling, candidates, n=1)
        if command_path == "promptctl create" and (key := options.request_key(spelling)) is not None:
            question = f": {key} is part of the request, which --request FILE reads"
        elif near:
            question = f": did you mean {near[0]}?"
    message = f"{command_path} has no option {references.quoted(spelling)}{question}"
    return errors.Usage("usage", message, hint=f"{command_path} --help")


def is_unquoted_text(name: str, rest: Sequence[str]) -> bool:
    """Whether the text of an option lacks quotes, so that its last words would be arguments of the command.

    In `rollback D --reason too concise`, the reason would be `too`, and `concise` a second prompt. Because the prompt D
    precedes the option, both words count as the text.
    """
    return _unquoted_text_range(name, rest) is not None


def _unquoted_text_range(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return where a text without quotes starts and ends. None if there is none, or if the command accepts the line."""
    return unquoted_texts.find(name, rest) if fast_reader.read([*name.split(" "), *rest]) is None else None


def _correction(words: Sequence[str]) -> tuple[list[str] | None, bool]:
    """Return the corrected words, or None if there is no correction, and whether they can mean only one thing."""
    words = _with_command_first(words)
    name, rest = fast_reader.command(words)
    is_command_replaced = name is None
    if name is None:
        words = _with_our_command(_without_noun(words))
        if words[:1] in (["--version"], ["--help"]):
            return words[:1], False
        name, rest = fast_reader.command(words)
        if name is None:
            return None, False
    if "--help" in rest or "-h" in rest:
        return [*name.split(" "), "--help"], False
    if (text_range := _unquoted_text_range(name, rest)) is not None:
        start, end = text_range
        rest = [*rest[:start], " ".join(rest[start:end]), *rest[end:]]
    line = ParsedLine(name, rest)
    line.is_unambiguous = not is_command_replaced and text_range is None
    options.correct(line)
    arguments.correct(line)
    correction = line.words()
    if "--help" in correction:
        return correction, False
    if _is_accepted(correction):
        return correction, line.is_unambiguous
    # Our command replaces another tool's, and may not accept its options and arguments. The help lists what it accepts.
    return ([*name.split(" "), "--help"], False) if is_command_replaced else (None, False)


def _with_command_first(words: Sequence[str]) -> list[str]:
    """Return the words with the options before the command moved behind it, to the end or to the first `--`."""
    before: list[str] = []
    rest = list(words)
    shared = by_spelling(SHARED)
    while rest and (option := shared.get(rest[0].partition("=")[0])) is not None:
        count = 1 if option.kind == FLAG or "=" in rest[0] else 2
        before, rest = [*before, *rest[:count]], rest[count:]
    if not before or not rest:
        return list(words)
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *before, *rest[end:]]


def _without_noun(words: Sequence[str]) -> list[str]:
    """Return the words without a noun beside the verb: `get prompt D` is `get D`, `prompt list` is `list`."""
    # Empty texts for words that are missing.
    first, second = [*words[:2], "", ""][:2]
    if first in synonyms.NOUNS and (second in COMMANDS or ("", second) in synonyms.COMMANDS):
        # `versions list D` means `show D`, which lists the versions of D.
        is_list_of_versions = first.startswith("version") and len(words) > 2 and _our_command(second) == "list"
        return ["show" if is_list_of_versions else second, *words[2:]]
    if second in synonyms.NOUNS and ("", first) in synonyms.COMMANDS:
        # `get prompts` means `list`, although `get` alone means `show`.
        is_list_of_prompts = len(words) == 2 and second == "prompts" and _our_command(first) == "show"
        return ["list"] if is_list_of_prompts else [first, *words[2:]]
    return list(words)


def _our_command(word: str) -> str:
    """Return our command for a synonym, and any other word unchanged."""
    return synonyms.COMMANDS.get(("", word), word)


def _with_our_command(words: Sequence[str]) -> list[str]:
    """Return the words with our command instead of a synonym or a misspelling. No words if there is no such command."""
    if not words:
        return []
    if words[0] in COMMANDS:
        # One word, or two words in one pair of quotes: 'db init'.
        return [*words[0].split(" "), *words[1:]]
    if len(words) > 1 and (command := synonyms.COMMANDS.get((words[0], words[1].lower()))):
        return _with_synonym_replaced(words[1].lower(), command, words[2:])
    if command := synonyms.COMMANDS.get(("", words[0].lower())):
        return _with_synonym_replaced(words[0].lower(), command, words[1:])
    # `db list` means `list`.
    if words[0] == "db" and len(words) > 1 and words[1] in COMMANDS:
        return list(words[1:])
    # `release 3` means `release show 3`.
    if len(words) == 2 and words[0] == "release" and lenient_values.version(words[1]) is not None:
        return ["release", "show", words[1]]
    import difflib

    if words[0] in FAMILIES and len(words) > 1:
        near = difflib.get_close_matches(f"{words[0]} {words[1]}", list(COMMANDS), n=1, cutoff=0.8)
        # `route NAME` shows the route, and `route NAME FILE` sets it.
        if not near and words[0] == "route" and not words[1].startswith("-"):
            return ["route", "show" if len(words) == 2 else "set", *words[1:]]
        # `rollout NAME@VERSION` starts a rollout, and `rollout NAME` shows it.
        if not near and words[0] == "rollout" and not words[1].startswith("-"):
            return ["rollout", "start" if "@" in words[1] else "status", *words[1:]]
        return [*str(near[0]).split(" "), *words[2:]] if near else []
    near = difflib.get_close_matches(words[0], [name for name in COMMANDS if " " not in name], n=1, cutoff=0.7)
    if near:
        return [str(near[0]), *words[1:]]
    long_synonyms = [word for family, word in synonyms.COMMANDS if not family and len(word) > 4]
    if near := difflib.get_close_matches(words[0], long_synonyms, n=1, cutoff=0.8):
        return _with_our_command([str(near[0]), *words[1:]])
    return []


def _with_synonym_replaced(synonym: str, command: str, rest: Sequence[str]) -> list[str]:
    """Return our command for a synonym, followed by the words after the synonym, `rest`.

    Some synonyms depend on these words: `status` means `db status`, and `status NAME` means `show NAME`.
    """
    command_words = command.split(" ")
    has_argument = len(rest) > 0 and not rest[0].startswith("-")
    if synonym in ("status", "version") and has_argument:
        return ["show", *rest]
    # Drop an argument that our command does not accept, for example the server of `ping SERVER`.
    if command == "--version" or (has_argument and command in _WITHOUT_ARGUMENTS):
        return command_words
    if command == "route show" and not rest:
        return ["list"]
    if command == "sync --dry-run" and "--dry-run" in rest:
        return ["sync", *rest]
    name, dashes, option = command.partition(" --")
    return [*name.split(" "), *rest, *([f"--{option}"] if dashes else [])]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - a value of any kind


def _is_accepted(words: Sequence[str]) -> bool:
    """Whether a command accepts these words, including every name, version and share."""
    read = fast_reader.read(words)
    if read is None:
        return False
    name, values = read
    try:
        for parameter, value in values.items():
            for word in _as_list(value):
                if isinstance(word, str):
                    _check(name, parameter, word)
    except (errors.Usage, ValueError):
        return False
    return True


def _check(name: str, parameter: str, word: str) -> None:
    """Raise Usage or ValueError for a name, a version or a share that the command would refuse."""
    if parameter == "references_":  # of activate, which needs versions, and of delete, which also accepts prompts
        references.parse_with_version(word, name)
    elif parameter in (*REFERENCES, "against"):
        references.parse(word)
    elif parameter in ("name", "names"):
        references.check_name(word)
    elif parameter in ("to", "expect"):
        references.parse_version(word)
    elif parameter == "share":
        shares.basis_points(word)
