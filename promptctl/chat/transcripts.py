"""Save a conversation in a JSON file, and load the file to continue the conversation. docs/chat.md has the format."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

from promptctl import atomic_files, bounded_input, errors
from promptctl.rules import json_documents, references

if TYPE_CHECKING:
    from promptctl.chat.turns import Content


class Transcript:
    """The messages of a conversation. Each reply has the version and the model that it came from."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.messages: list[dict[str, Any]] = []

    def for_claude(self) -> list[dict[str, Any]]:
        """Return the messages in the form that Claude gets, without the details of the replies."""
        return [{"role": message["role"], "content": message["content"]} for message in self.messages]

    def variables(self) -> dict[str, str]:
        """Return the values of the variables with which the last message was sent, which older files do not have."""
        values = self.messages[-1].get("variables") if self.messages else None
        pairs = cast("dict[str, object]", values).items() if isinstance(values, dict) else ()
        return {name: value for name, value in pairs if isinstance(value, str)}

    def add(self, message: Content, reply: Content, **details: object) -> None:
        """Add a message and its reply. `details` belong to the reply; those that are None are left out."""
        details = {key: value for key, value in details.items() if value is not None}
        self.messages += [{"role": "user", "content": message}, {"role": "assistant", "content": reply, **details}]

    def save(self) -> None:
        """Write the file atomically, readable by its owner only. Raises Failed (`cannot_save`)."""
        # One message per line, for `diff` and `grep`.
        lines = ",\n".join("  " + json.dumps(message, ensure_ascii=False) for message in self.messages)
        try:
            atomic_files.write(self.path, f'{{"messages": [\n{lines}\n]}}\n'.encode(), private=True)
        except OSError as problem:
            raise errors.Failed(
                "cannot_save",
                f"cannot save the conversation in {references.quoted(self.path)}: {problem.strerror}",
                hint="save it in another file with --save FILE",
            ) from None


def begin(path: str) -> Transcript:
    """Return an empty transcript for a new file. Raises Usage for an empty path, Failed (`file_exists`)."""
    if not path:
        raise errors.Usage("usage", "--save is empty")
    if os.path.exists(path):
        raise errors.Failed(
            "file_exists",
            f"{references.quoted(path)} already exists",
            hint=f"continue that conversation with --continue {path}, or choose another file",
        )
    return Transcript(path)


def load(path: str, option: str = "--continue") -> Transcript:
    """Return the transcript in a file. Raises Failed (`cannot_read`, `invalid_conversation`).

    `option` is the one that names the file.
    """
    try:
        return _load(path)
    except errors.Failed as problem:
        problem.hint = f"pass a file that chat --save has written to {option}"
        raise


def _load(path: str) -> Transcript:
    transcript = Transcript(path)
    try:
        raw = bounded_input.any_file(path)
    except bounded_input.TooLarge as problem:
        raise _invalid(path, f"it {problem.strerror}") from None
    except (OSError, ValueError) as problem:
        raise bounded_input.unreadable(references.quoted(path), problem, "") from None
    try:
        document: object = json_documents.parse(raw)
    except json_documents.InvalidDocument as problem:
        line = f"line {problem.line}: " if problem.line else ""
        raise _invalid(path, f"{line}{problem.reason}") from None
    messages = cast("dict[str, object]", document).get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list):
        raise _invalid(path, "it has no list of messages")
    for position, item in enumerate(cast("list[object]", messages)):
        expected_role = "assistant" if position % 2 else "user"
        message = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        if message.get("role") != expected_role or not _is_content(message.get("content")):
            raise _invalid(path, f"message {position + 1} has no text or blocks with the role {expected_role}")
        transcript.messages.append(message)
    if len(transcript.messages) % 2:
        raise _invalid(path, "its last message has no reply")
    return transcript


def _is_content(content: object) -> bool:
    """Whether this can be the content of a message: a text with a word, or a list of blocks that have a type."""
    if isinstance(content, str):
        return bool(content.strip())
    if not isinstance(content, list) or not content:
        return False
    items = cast("list[object]", content)
    blocks = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
    return len(blocks) == len(items) and all(isinstance(block.get("type"), str) for block in blocks)


def _invalid(path: str, reason: str) -> errors.Failed:
    message = f"{references.quoted(path)} is not a saved conversation: {reason}"
    return errors.Failed("invalid_conversation", message)
