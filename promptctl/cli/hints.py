"""Add the hint to an error: a corrected command line, the nearest name, the access that is missing, the help."""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import catalogue, command_line, fast_reader, unquoted_texts
from promptctl.cli.correction import lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.invocation import Invocation
    from promptctl.postgres.database import Database


def explained(failure: errors.PromptctlError, invocation: Invocation) -> errors.PromptctlError:
    """Return the error with a hint. An error that missing quotes caused is replaced by the error of the quotes.

    A corrected command line is preferred to any other hint.
    """
    words, connection = invocation.words, invocation.connection
    if connection is not None and (unquoted := _unquoted_text(failure, connection, words)) is not None:
        failure = unquoted
    may_be_corrected = isinstance(failure, errors.Usage) and not failure.hint_options
    is_corrected = bool(failure.hint_corrections) and _correct_words(failure, words)
    if not is_corrected and not (may_be_corrected and _add_corrected_line(failure, words)):
        _replace_hint(failure, connection, words)
        if failure.hint is None:
            _add_hint(failure, invocation)
    if failure.hint is not None:
        failure.hint = command_line.on_same_database(failure.hint, words)
    return failure


def _replace_hint(failure: errors.PromptctlError, connection: Database | None, words: Sequence[str]) -> None:
    """Replace a hint for which the command line or the database is needed."""
    if failure.code == "permission_denied" and connection is not None:
        from promptctl.cli import suggestions

        failure.hint = suggestions.access(connection, failure.message, words) or failure.hint
    elif failure.code == "invalid_version":
        from promptctl.cli import suggestions

        failure.hint = suggestions.version(words) or failure.hint


def _add_hint(failure: errors.PromptctlError, invocation: Invocation) -> None:
    """Add a hint to an error that has none."""
    words, connection = invocation.words, invocation.connection
    is_version = isinstance(failure, errors.NotFound) and _looks_like_a_version(failure.name)
    if is_version and _add_corrected_line(failure, words):
        return
    if failure.hint_options:
        line = command_line.with_options(words, failure.hint_options, failure.hint_without)
        failure.hint = failure.hint_prefix + command_line.for_shell(line)
    elif isinstance(failure, errors.NotFound) and failure.name is not None and connection is not None:
        from promptctl.cli import suggestions

        failure.hint = suggestions.prompt(connection, failure.name, words)
    elif isinstance(failure, errors.Usage):
        name, _ = fast_reader.command(words)
        failure.hint = f"promptctl {name} --help" if name else "promptctl --help"
    elif failure.code == "cannot_write" and invocation.command is not None:
        failure.hint = _hint_of_missing_answer(invocation.command)


def _hint_of_missing_answer(command: str) -> str | None:
    """Return the hint of an answer that cannot be written; None for a command that only reads.

    A command writes its answer after it has made its change, which stays.
    """
    if command == "test":
        # It changes nothing, and the run with its verdict is stored.
        return "promptctl test list"
    return "promptctl history shows what was changed" if catalogue.COMMANDS[command].has_author else None


def _unquoted_text(
    failure: errors.PromptctlError, connection: Database, words: Sequence[str]
) -> errors.PromptctlError | None:
    """Return the error for a text without quotes whose second word was read as a name, None if the text has quotes.

    The shortest such line has five words: `rollback --reason too concise D`.
    """
    if failure.code != "prompt_not_found" or len(words) < 5:
        return None
    name, rest = fast_reader.command(words)
    if name is None or (places := unquoted_texts.before_names(name, rest)) is None:
        return None
    from promptctl.cli import suggestions

    # The text begins at `first`, and the names after it reach to `end`.
    first, end = places
    if not (count := suggestions.count_words_before_names(connection, rest[first + 1 : end])):
        return None
    last = first + 1 + count
    line = [name, *rest[:first], " ".join(rest[first:last]), *rest[last:]]
    return errors.Usage(
        "usage", "a text of several words is one argument: put it in quotes", hint=command_line.for_shell(line)
    )


def _correct_words(failure: errors.PromptctlError, words: Sequence[str]) -> bool:
    """Set the hint to the line with misspelled words replaced. Return False if the line has none of them."""
    line = list(words)
    for wrong, right in failure.hint_corrections.items():
        for place, word in enumerate(line):
            option = "--var=" if word.startswith("--var=") else ""
            if word.startswith(option + wrong):
                line[place] = option + right + word[len(option + wrong) :]
    if line == list(words):
        return False
    failure.hint = command_line.for_shell(line)
    return True


def _looks_like_a_version(name: str | None) -> bool:
    """Whether an unknown name is meant as a version: `v1` in `rollback D v1`, `1..2` in `diff D 1..2`."""
    return name is not None and name.lstrip("vV").replace("..", "", 1).isdigit()


def _add_corrected_line(failure: errors.PromptctlError, words: Sequence[str]) -> bool:
    """Set the hint to the corrected command line. Return False if there is none."""
    if (corrected := lines.likely_correction(words)) is None:
        return False
    failure.hint = command_line.for_shell(corrected)
    return True
