"""Where a prompt's text comes from: an argument, a file, standard input, an editor."""

from __future__ import annotations

import os
import sys

from promptctl import bounded_input, errors
from promptctl.folder import texts
from promptctl.output import messages
from promptctl.rules import references

# A word that ends so is the name of a file, there or not.
_SUFFIXES = (".txt", ".md", ".markdown", ".prompt", ".j2", ".jinja", ".jinja2", ".yaml", ".yml", ".json", ".xml")
# The longest path that Linux takes.
_LONGEST_PATH = 4096


def chosen(argument: str | None, literal: str | None, file: str | None) -> tuple[str | None, str | None]:
    """Return the text and the file that an argument, --text and --file stand for; the argument - is standard input.

    Raises Usage for two texts, and for an argument that names a file or begins with @: what is in the file is meant.
    """
    if literal is not None:
        if argument is not None:
            raise errors.Usage("usage", "the text is given twice: as an argument and with --text")
        return literal, file
    if argument == "-":
        if file is not None:
            raise errors.Usage("usage", "the text is given twice: as - (standard input) and with --file")
        return None, "-"
    if argument is not None:
        _check_argument(argument)
    return argument, file


def _check_argument(argument: str) -> None:
    """Raise Usage for an argument that is the name of a file and not a text."""
    if "\n" in argument or "\0" in argument or not argument.strip():
        return
    path = argument.removeprefix("file://").removeprefix("@")
    is_there = 0 < len(path) < _LONGEST_PATH and os.path.lexists(path)
    failure = errors.Usage("text_is_a_file", "")
    failure.leaves_out = argument
    failure.again = ("--text", argument)
    if argument.startswith("@"):
        failure.message = f"{references.quoted(argument)} begins with @: -f reads a file, --text takes it as the text"
        if is_there or (path and not any(character.isspace() for character in path)):
            failure.again = ("-f", path)
    elif is_there and os.path.isdir(path):
        failure.message = f"{references.quoted(argument)} is a folder: --text takes it as the text"
    elif is_there:
        failure.message = f"{references.quoted(argument)} is a file: -f reads it, --text takes it as the text"
        failure.again = ("-f", path)
    elif _is_like_a_path(argument):
        failure.message = f"{references.quoted(argument)} is like a file's name, and there is no such file"
    else:
        return
    raise failure


def _is_like_a_path(word: str) -> bool:
    if any(character.isspace() for character in word):
        return False
    return word.startswith(("./", "../", "~/", "/", "file://")) or word.lower().endswith(_SUFFIXES)


def is_edited(text: str | None, file: str | None) -> bool:
    """Whether the text has to come from an editor: nothing was given and a person is there."""
    return text is None and file is None and sys.stdin is not None and sys.stdin.isatty()


def read(text: str | None, file: str | None, command: str = "create") -> str:
    """Return the text that was given, normalised; raises Usage for one that cannot be a prompt, Failed for a file."""
    given = _given(text, file, command)
    if command == "create" and (unfinished := texts.git_problem(given)):
        what = "the text" if text is not None else "standard input" if file in (None, "-") else references.quoted(file)
        raise errors.Usage("unfinished_text", f"{what} {unfinished}", hint="put the whole text in its place first")
    return given


def _given(text: str | None, file: str | None, command: str) -> str:
    if text is not None and file is not None:
        raise errors.Usage("usage", "the text is given twice: as an argument and with --file")
    if text is not None:
        return texts.normalise(text.encode("utf-8", "surrogateescape"), "the text")
    if file == "":
        raise errors.Usage("usage", "--file is empty")
    if file is None or file == "-":
        return texts.normalise(_standard_input(command), "standard input")
    try:
        raw = bounded_input.any_file(file)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"{references.quoted(file)} {problem.strerror}") from None
    except OSError as problem:
        raise errors.Failed(
            "cannot_read",
            f"cannot read {references.quoted(file)}: {problem.strerror}",
            hint="give -f a file that can be read, or - for standard input",
        ) from None
    return texts.normalise(raw, references.quoted(file))


def message(text: str | None, file: str | None) -> str:
    """Return the message that was given: an argument, a file, both joined by an empty line, else standard input."""
    parts = [] if text is None else [read(text, None, "chat")]
    if file is not None or text is None:
        parts.append(read(None, file, "chat"))
    return "\n\n".join(part.rstrip("\n") for part in parts)


def compose(before: str) -> str:
    """Open the editor on a message; return what it was saved as. Raises Usage where that is empty, Failed."""
    path = _in_editor(before, "message", "sent")
    try:
        return texts.normalise(_saved(path, "the message"), "the message").rstrip("\n")
    finally:
        os.unlink(path)


def edit(before: str, name: str) -> tuple[str, str]:
    """Open the editor on a text; return what it was saved as, and the file, for the caller to remove when it is stored.

    Raises Usage when the text is empty, unchanged or cannot be a prompt, Failed when the editor fails.
    """
    path = _in_editor(before, name, "created")
    try:
        raw = _saved(path, "the text")
    except errors.PromptctlError as problem:
        keep(problem, path)
        raise
    if raw == before.encode() or not raw.strip():
        os.unlink(path)
    if raw == before.encode():
        raise errors.Usage("unchanged", "the text was not changed: nothing was created")
    try:
        return texts.normalise(raw, "the text"), path
    except errors.Usage as problem:
        keep(problem, path)
        raise


def _saved(path: str, what: str) -> bytes:
    """Return what the editor saved. Raises Usage (`too_large`), Failed (`cannot_read`)."""
    try:
        return bounded_input.regular_file(path)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"{what} {problem.strerror}") from None
    except OSError as problem:
        raise errors.Failed("cannot_read", f"cannot read {what}: {problem.strerror}", hint="set EDITOR") from None


def _in_editor(before: str, name: str, done: str) -> str:
    """Open the editor on a text and wait for it; return the file that was saved. Raises Failed (`editor_failed`)."""
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
        # Ctrl-C is the editor's while it is open; it goes to both of us.
        before_editor = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status = process.wait()
        finally:
            signal.signal(signal.SIGINT, before_editor)
    except (OSError, ValueError) as problem:
        os.unlink(path)
        reason = getattr(problem, "strerror", None) or str(problem)
        raise errors.Failed("editor_failed", f"cannot start the editor {editor}: {reason}", hint="set EDITOR") from None
    if status != 0:
        os.unlink(path)
        raise errors.Failed(
            "editor_failed", f"the editor {editor} ended with {status}: nothing was {done}", hint="set EDITOR"
        )
    return path


def keep(failure: errors.PromptctlError, path: str) -> None:
    """Say where the text is that somebody wrote and that could not be stored."""
    if os.path.exists(path):
        failure.hint = f"the text is kept in {path}"


def _standard_input(command: str) -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise errors.Usage("usage", "no text: standard input is closed", hint=f"promptctl {command} NAME -f FILE")
    if sys.stdin.isatty():
        messages.note("reading from the terminal: end the text with Ctrl-D on a line of its own")
    try:
        return bounded_input.from_stream(sys.stdin.buffer)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"standard input {problem.strerror}") from None
