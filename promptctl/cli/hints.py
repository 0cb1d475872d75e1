"""Add the hint to an error: a corrected command line, the nearest name, the access that is missing, the help."""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import command_line, fast_reader, unquoted_texts
from promptctl.cli.correction import lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.invocation import Invocation
    from promptctl.postgres.database import Database


def explained(failure: errors.PromptctlError, invocation: Invocation) -> errors.PromptctlError:
    """Return the error with a hint, or the error of missing quotes that caused it.

    A command line that would succeed comes before any other hint.
    """
    words, connection = invocation.words, invocation.connection
    if connection is not None and (unquoted := _unquoted_text(failure, connection, words)) is not None:
        failure = unquoted
    if not (isinstance(failure, errors.Usage) and not failure.hint_options and _correct(failure, words)):
        _replace_hint(failure, connection, words)
        if failure.hint is None:
            _add_hint(failure, connection, words)
    if failure.hint is not None:
        failure.hint = command_line.on_same_database(failure.hint, words)
    return failure


def _replace_hint(failure: errors.PromptctlError, connection: Database | None, words: Sequence[str]) -> None:
    """Replace the hint of an error that was raised without the command line."""
    if failure.code == "permission_denied" and connection is not None:
        from promptctl.cli import suggestions

        failure.hint = suggestions.access(connection, failure.message, words) or failure.hint
    elif failure.code == "invalid_version":
        from promptctl.cli import suggestions

        failure.hint = suggestions.version(words) or failure.hint


def _add_hint(failure: errors.PromptctlError, connection: Database | None, words: Sequence[str]) -> None:
    if isinstance(failure, errors.NotFound) and _is_like_a_version(failure.name) and _correct(failure, words):
        return
    if failure.hint_options:
        line = command_line.changed(words, failure.hint_options, failure.hint_without)
        failure.hint = failure.hint_prefix + command_line.pasted(line)
    elif isinstance(failure, errors.NotFound) and failure.name is not None and connection is not None:
        from promptctl.cli import suggestions

        failure.hint = suggestions.prompt(connection, failure.name)
    elif isinstance(failure, errors.Usage):
        name, _ = fast_reader.command(words)
        failure.hint = f"promptctl {name} --help" if name else "promptctl --help"


def _unquoted_text(
    failure: errors.PromptctlError, connection: Database, words: Sequence[str]
) -> errors.PromptctlError | None:
    """Return the error of a reason without quotes before the names, where one of its words was read as a name."""
    if failure.code != "prompt_not_found" or len(words) < 5:
        return None
    name, rest = fast_reader.command(words)
    if name is None or (places := unquoted_texts.before_names(name, rest)) is None:
        return None
    from promptctl.cli import suggestions

    first, end = places
    if not (count := suggestions.count_words_before_names(connection, rest[first + 1 : end])):
        return None
    last = first + 1 + count
    line = [name, *rest[:first], " ".join(rest[first:last]), *rest[last:]]
    return errors.Usage(
        "usage", "a text of several words is one argument: put it in quotes", hint=command_line.pasted(line)
    )


def _is_like_a_version(name: str | None) -> bool:
    """Whether a name that does not exist is a version: `v1` of `rollback D v1`, `1..2` of `diff D 1..2`."""
    return name is not None and name.lstrip("vV").replace("..", "", 1).isdigit()


def _correct(failure: errors.PromptctlError, words: Sequence[str]) -> bool:
    """Set the hint to the corrected command line; return whether there is one."""
    if (corrected := lines.corrected(words)) is None:
        return False
    failure.hint = command_line.pasted(corrected)
    return True
