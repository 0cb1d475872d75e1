"""A conversation in a file, to go on from later: JSON, as docs/files.md describes it."""

from __future__ import annotations

import json
import os
from typing import Any, cast

from promptctl import atomic_files, bounded_input, errors
from promptctl.claude.api import Message
from promptctl.rules import json_documents, references


class Transcript:
    """The messages of a conversation, each reply with the version that gave it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.messages: list[dict[str, Any]] = []

    def sent(self) -> list[Message]:
        """Return the messages as they are sent to Claude."""
        return [Message(message["role"], message["content"]) for message in self.messages]

    def add(self, message: str, reply: str, **about: object) -> None:
        """Add a message and its reply; `about` says what else is known of the reply."""
        known = {key: value for key, value in about.items() if value is not None}
        self.messages += [{"role": "user", "content": message}, {"role": "assistant", "content": reply, **known}]

    def save(self) -> None:
        """Write the file, whole or not at all, readable by its owner alone. Raises Failed (`cannot_save`)."""
        # A message a line: it can be read, compared and searched.
        lines = ",\n".join("  " + json.dumps(message, ensure_ascii=False) for message in self.messages)
        try:
            atomic_files.write(self.path, f'{{"messages": [\n{lines}\n]}}\n'.encode(), private=True)
        except OSError as problem:
            raise errors.Failed(
                "cannot_save",
                f"cannot save the conversation in {references.quoted(self.path)}: {problem.strerror}",
                hint="save it elsewhere, with --save FILE",
            ) from None


def begin(path: str) -> Transcript:
    """Return a new conversation for a file that is not there yet. Raises Usage, Failed (`file_exists`)."""
    if not path:
        raise errors.Usage("usage", "--save is empty")
    if os.path.exists(path):
        raise errors.Failed(
            "file_exists",
            f"{references.quoted(path)} is there already",
            hint=f"--continue {path} goes on from it, or name another file",
        )
    return Transcript(path)


def load(path: str) -> Transcript:
    """Return the conversation in a file. Raises Failed (`cannot_read`, `invalid_conversation`)."""
    transcript = Transcript(path)
    try:
        raw = bounded_input.any_file(path)
    except bounded_input.TooLarge as problem:
        raise _invalid(path, f"it {problem.strerror}") from None
    except (OSError, ValueError) as problem:
        # A name with a NUL is no system's error.
        reason = getattr(problem, "strerror", None) or str(problem)
        raise errors.Failed(
            "cannot_read",
            f"cannot read {references.quoted(path)}: {reason}",
            hint="give --continue a file that --save has written",
        ) from None
    try:
        document: object = json_documents.parse(raw)
    except json_documents.InvalidDocument as problem:
        place = f"line {problem.line}: " if problem.line else ""
        raise _invalid(path, f"{place}{problem.reason}") from None
    messages = cast("dict[str, object]", document).get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list):
        raise _invalid(path, "it has no list of messages")
    for place, message in enumerate(cast("list[object]", messages)):
        role = ("user", "assistant")[place % 2]
        said = cast("dict[str, object]", message) if isinstance(message, dict) else {}
        content = said.get("content")
        if said.get("role") != role or not isinstance(content, str) or not content.strip():
            raise _invalid(path, f"message {place + 1} is no text of {role}")
        transcript.messages.append(said)
    if len(transcript.messages) % 2:
        raise _invalid(path, "its last message has no reply")
    return transcript


def _invalid(path: str, why: str) -> errors.Failed:
    return errors.Failed(
        "invalid_conversation",
        f"{references.quoted(path)} holds no conversation: {why}",
        hint="give --continue a file that --save has written",
    )
