"""Read the text of a prompt or a message: from an argument, a file, standard input or an editor."""

from __future__ import annotations

import os
import sys

from promptctl import bounded_input, errors
from promptctl.folder import texts
from promptctl.output import messages
from promptctl.rules import references

# Suffixes that mark a word as the name of a file, even if the file does not exist.
_SUFFIXES = (".txt", ".md", ".markdown", ".prompt", ".j2", ".jinja", ".jinja2", ".yaml", ".yml", ".json", ".xml")
# The longest path that Linux accepts.
_LONGEST_PATH = 4096


def chosen(argument: str | None, literal: str | None, file: str | None) -> tuple[str | None, str | None]:
    """Return the text, and the file to read, that the argument, --text and --file select. The file - is standard input.

    Raises Usage for two texts, and for an argument that is the name of a file or starts with @.
    """
    if literal is not None:
        if argument is not None:
            raise errors.Usage("usage", "the text is set twice: as an argument and with --text")
        return literal, file
    if argument == "-":
        if file is not None:
            raise errors.Usage("usage", "the text is set twice: as - (standard input) and with --file")
        return None, "-"
    if argument is not None:
        _check_argument(argument)
    return argument, file


def _check_argument(argument: str) -> None:
    """Raise Usage for an argument that is the name of a file and not a text."""
    if "\n" in argument or "\0" in argument or not argument.strip():
        return
    path = argument.removeprefix("file://").removeprefix("@")
    path_exists = 0 < len(path) < _LONGEST_PATH and os.path.lexists(path)
    failure = errors.Usage("text_is_a_file", "")
    failure.hint_without = argument
    failure.hint_options = ("--text", argument)
    if argument.startswith("@"):
        failure.message = (
            f"{references.quoted(argument)} starts with @: use -f to read a file, or --text to use it as the text"
        )
        if path_exists or (path and not any(character.isspace() for character in path)):
            failure.hint_options = ("-f", path)
    elif path_exists and os.path.isdir(path):
        failure.message = f"{references.quoted(argument)} is a folder: use --text to use it as the text"
    elif path_exists:
        failure.message = f"{references.quoted(argument)} is a file: use -f to read it, or --text to use it as the text"
        failure.hint_options = ("-f", path)
    elif _looks_like_a_path(argument):
        failure.message = f"{references.quoted(argument)} looks like the name of a file, but no such file exists"
    else:
        return
    raise failure


def _looks_like_a_path(word: str) -> bool:
    if any(character.isspace() for character in word):
        return False
    return word.startswith(("./", "../", "~/", "/", "file://")) or word.lower().endswith(_SUFFIXES)


def needs_editor(text: str | None, file: str | None) -> bool:
    """Whether the text must come from an editor: there is no text and no file, and standard input is a terminal."""
    return text is None and file is None and sys.stdin is not None and sys.stdin.isatty()


def read(text: str | None, file: str | None, command: str = "create") -> str:
    """Return the text, or the content of the file, normalized. `command` is the command that reads it.

    Raises Usage for a text that cannot be a prompt, Failed for an unreadable file.
    """
    content = _content(text, file, command)
    if command == "create" and (unfinished := texts.git_problem(content)):
        what = "the text" if text is not None else "standard input" if file in (None, "-") else references.quoted(file)
        raise errors.Usage("unfinished_text", f"{what} {unfinished}", hint="write the whole text first")
    return content


def _content(text: str | None, file: str | None, command: str) -> str:
    if text is not None and file is not None:
        raise errors.Usage("usage", "the text is set twice: as an argument and with --file")
    if text is not None:
        return texts.normalise(text.encode("utf-8", "surrogateescape"), "the text")
    if file == "":
        raise errors.Usage("usage", "--file is empty")
    if file is None or file == "-":
        return texts.normalise(standard_input(command), "standard input")
    try:
        raw = bounded_input.any_file(file)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"{references.quoted(file)} {problem.strerror}") from None
    except OSError as problem:
        hint = "pass -f a readable file, or - for standard input"
        raise bounded_input.unreadable(references.quoted(file), problem, hint) from None
    return texts.normalise(raw, references.quoted(file))


def regular_file(path: str, hint: str) -> str:
    """Return the text of a regular file, normalized. Raises Usage, and Failed for anything else, for example a pipe."""
    name = references.quoted(path)
    try:
        raw = bounded_input.regular_file(path)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"{name} {problem.strerror}") from None
    except (OSError, ValueError) as problem:
        raise bounded_input.unreadable(name, problem, hint) from None
    return texts.normalise(raw, name)


def message(text: str | None, file: str | None) -> str:
    """Return the message: the text, the file, both with an empty line between them, or else standard input."""
    parts = [] if text is None else [read(text, None, "chat")]
    if file is not None or text is None:
        parts.append(read(None, file, "chat"))
    return "\n\n".join(part.rstrip("\n") for part in parts)


def compose(before: str) -> str:
    """Open the editor on a message and return the saved text. Raises Usage for an empty text, Failed."""
    path = _in_editor(before, "message", "sent")
    try:
        return texts.normalise(_saved(path, "the message"), "the message").rstrip("\n")
    finally:
        os.unlink(path)


def edit(before: str, name: str) -> tuple[str, str]:
    """Open the editor on a text. Return the saved text and its file, which the caller removes after storing the text.

    Raises Usage if the text is empty, unchanged or cannot be a prompt, Failed if the editor fails.
    """
    path = _in_editor(before, name, "created")
    try:
        raw = _saved(path, "the text")
    except errors.PromptctlError as problem:
        hint_at_saved_text(problem, path)
        raise
    is_unchanged = raw == before.encode()
    if is_unchanged or not raw.strip():
        os.unlink(path)
    if is_unchanged:
        raise errors.Usage("unchanged", "the text was not changed: nothing was created")
    try:
        return texts.normalise(raw, "the text"), path
    except errors.Usage as problem:
        hint_at_saved_text(problem, path)
        raise


def _saved(path: str, what: str) -> bytes:
    """Return the content of the saved file. Raises Usage (`too_large`), Failed (`cannot_read`)."""
    try:
        return bounded_input.regular_file(path)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"{what} {problem.strerror}") from None
    except OSError as problem:
        raise bounded_input.unreadable(what, problem, "set EDITOR") from None


def _in_editor(before: str, name: str, action: str) -> str:
    """Open the editor on a file with the text, wait for it and return the file. Raises Failed (`editor_failed`).

    `action` completes the error: nothing was created, or sent.
    """
    import shlex
    import signal
    import subprocess
    import tempfile

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    handle, path = tempfile.mkstemp(prefix=name.replace("/", "-") + "-", suffix=".txt")
    with open(handle, "wb") as file:
        file.write(before.encode())
    try:
        process = subprocess.Popen([*shlex.split(editor), path])
        # The terminal sends Ctrl-C to both processes. Only the editor may react to it.
        previous_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status = process.wait()
        finally:
            signal.signal(signal.SIGINT, previous_handler)
    except (OSError, ValueError) as problem:
        os.unlink(path)
        reason = getattr(problem, "strerror", None) or str(problem)
        raise errors.Failed("editor_failed", f"cannot start the editor {editor}: {reason}", hint="set EDITOR") from None
    if status != 0:
        os.unlink(path)
        raise errors.Failed(
            "editor_failed", f"the editor {editor} ended with {status}: nothing was {action}", hint="set EDITOR"
        )
    return path


def hint_at_saved_text(failure: errors.PromptctlError, path: str) -> None:
    """Name the file of the editor in the hint of the error that prevented the text from being stored."""
    if os.path.exists(path):
        failure.hint = f"the text is saved in {path}"


def standard_input(command: str, what: str = "text") -> bytes:
    """Return the bytes of standard input. `what` names them in messages. Raises Usage."""
    if sys.stdin is None or sys.stdin.closed:
        raise errors.Usage("usage", f"no {what}: standard input is closed", hint=f"promptctl {command} NAME -f FILE")
    if sys.stdin.isatty():
        messages.note(f"reading from the terminal: press Ctrl-D on an empty line to end the {what}")
    try:
        return bounded_input.from_stream(sys.stdin.buffer)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"standard input {problem.strerror}") from None
