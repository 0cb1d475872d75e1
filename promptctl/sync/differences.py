"""What differs between two versions in a plan, as arguments of a diff: the texts, and the requests as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.folder import request_file_writer, request_files
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion
    from promptctl.sync.changes import Change

    # The old text, the new text, and the name of each.
    Pair = tuple[str, str, str, str]


class Original(Record):
    """A version before its files were edited: its text, its settings as far as they are known, and its name."""

    text: str
    settings: Mapping[str, Any]
    name: str


def with_new_version(change: Change, active: Original) -> list[Pair]:
    """Return what differs between the active version of a prompt and a new one, whose change this is.

    The texts are a pair of their own even if they are equal, unless the requests differ.
    """
    file = change.file
    assert file is not None
    requests = _requests(active, file, change.reference)
    text = (file.content or b"").decode()
    return (
        requests
        if requests and text == active.text
        else [(active.text, text, active.name, change.reference), *requests]
    )


def with_edited_files(file: FileVersion, original: Original) -> list[Pair]:
    """Return what differs between a version and its files, which were edited."""
    pairs: list[Pair] = []
    # The content of a text that is the stored one was not read.
    if file.content is not None and (text := file.content.decode()) != original.text:
        pairs.append((original.text, text, original.name, file.path))
    if file.request_path is not None:
        pairs += [(old, new, old_name, file.request_path) for old, new, old_name, _ in _requests(original, file, "")]
    return pairs


def _requests(old: Original, file: FileVersion, new_name: str) -> list[Pair]:
    """Return the requests of two versions, nothing if they are the same."""
    if request_files.same(old.settings, file.settings):
        return []
    texts = request_file_writer.text(old.settings), request_file_writer.text(file.settings)
    return [(*texts, f"{old.name} request", f"{new_name} request")]
