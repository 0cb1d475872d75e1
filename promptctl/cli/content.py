"""Where a prompt's text comes from: an argument, a file, standard input, an editor."""

from __future__ import annotations

import os
import sys

from promptctl import errors, references, texts


def is_edited(text: str | None, file: str | None) -> bool:
    """Whether the text has to come from an editor: nothing was given and a person is there."""
    return text is None and file is None and sys.stdin is not None and sys.stdin.isatty()


def read(text: str | None, file: str | None) -> str:
    """Return the text that was given, normalised; raises Usage for one that cannot be a prompt, Failed for a file."""
    if text is not None and file is not None:
        raise errors.Usage("usage", "the text is given twice: as an argument and with --file")
    if text is not None:
        return texts.normalised(text.encode("utf-8", "surrogateescape"), "the text")
    if file == "":
        raise errors.Usage("usage", "--file is empty")
    if file is None or file == "-":
        return texts.normalised(_standard_input(), "standard input")
    try:
        with open(file, "rb") as opened:
            return texts.normalised(opened.read(), references.shown(file))
    except OSError as problem:
        raise errors.Failed(
            "cannot_read",
            f"cannot read {references.shown(file)}: {problem.strerror}",
            hint="give -f a file that can be read, or - for standard input",
        ) from None


def edit(before: str, name: str) -> str:
    """Open the editor on a text and return what it was saved as; raises Usage when it is empty or unchanged."""
    import shlex
    import subprocess
    import tempfile

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    handle, path = tempfile.mkstemp(prefix=name.replace("/", "-") + "-", suffix=".txt")
    try:
        with open(handle, "wb") as file:
            file.write(before.encode())
        try:
            status = subprocess.call([*shlex.split(editor), path])
        except OSError as problem:
            raise errors.Failed(
                "editor_failed", f"cannot start the editor {editor}: {problem.strerror}", hint="set EDITOR"
            ) from None
        if status != 0:
            raise errors.Failed("editor_failed", f"the editor {editor} ended with {status}: nothing was created")
        with open(path, "rb") as file:
            after = texts.normalised(file.read(), "the text")
    finally:
        os.unlink(path)
    if after == before:
        raise errors.Usage("unchanged", "the text was not changed: nothing was created")
    return after


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise errors.Usage("usage", "no text: standard input is closed", hint="promptctl create NAME -f FILE")
    return sys.stdin.buffer.read()
