"""Store new texts in batches while later files are still being read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.store import syncs, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion, FolderPrompt
    from promptctl.folder.provenance import Commit
    from promptctl.postgres.database import Database
    from promptctl.store.syncs import StoredPrompt
    from promptctl.sync.read import FolderReader

    Origins = Mapping[str, Mapping[str, Any]]

# The new text in one statement: a large folder in one statement would exceed what PostgreSQL's JSON can hold.
_BATCH_BYTES = 1024 * 1024
# The first batches wait for this much text or for the plan. A release number is not returned by a rollback, so a
# refused sync with less new text uses none.
_BYTES_BEFORE_FIRST_BATCH = 4 * _BATCH_BYTES


class Uploader:
    """Stores new versions in batches, in a release that it opens with the first batch.

    While the server stores one batch, Python prepares the next one. The caller owns the transaction: a sync that is
    refused later rolls everything back.
    """

    def __init__(
        self,
        database: Database,
        source: str,
        commit: Commit | None,
        *,
        author: str,
        origin: Callable[[], Mapping[str, Any]],
        origins: Callable[[], Origins],
    ) -> None:
        """Store nothing yet. `origin` and `origins` (by path) are called once, when the first batch is sent."""
        self.reason = f"sync {commit.short}" if commit else "sync"
        self._database = database
        self._source = source
        self._author = author
        self._load_origin = origin
        self._load_origins = origins
        self._release: int | None = None
        self._origins: Origins = {}
        self._batch: list[tuple[str, FileVersion]] = []
        self._size = 0
        self._wait_for_batch: Callable[[], Any] | None = None

    def open_release(self) -> int:
        """Return the number of the release; opens it on the first call."""
        if self._release is None:
            self._release = syncs.open_release(
                self._database, self._source, self._load_origin(), author=self._author, reason=self.reason
            )
        return self._release

    def upload(
        self, reader: FolderReader, stored: Mapping[str, StoredPrompt], prompts: Iterable[FolderPrompt]
    ) -> Iterator[FolderPrompt]:
        """Return the prompts as they are read, and store their new texts on the way.

        A text that was accepted is returned without its content. Once `reader` has found a problem, no further text is
        stored, because the sync will fail.
        """
        spellings = {name.lower(): name for name in stored}
        for prompt in prompts:
            stored_prompt = stored.get(prompt.name)
            # A name that differs only in case and an archived prompt are conflicts, which the plan reports.
            has_other_spelling = spellings.get(prompt.name.lower(), prompt.name) != prompt.name
            is_archived = stored_prompt is not None and stored_prompt.is_archived
            if reader.has_problems or has_other_spelling or is_archived:
                yield prompt
            else:
                yield prompt.with_versions(self._add_new_versions(prompt, stored_prompt))

    def _add_new_versions(self, prompt: FolderPrompt, stored_prompt: StoredPrompt | None) -> list[FileVersion]:
        stored_versions = stored_prompt.versions if stored_prompt is not None else {}
        # A text that was erased is a conflict too.
        erased = {version.sha256 for version in stored_versions.values() if version.is_erased}
        return [
            file if file.number in stored_versions or file.sha256 in erased else self.add(prompt.name, file)
            for file in prompt.versions
        ]

    def add(self, name: str, file: FileVersion) -> FileVersion:
        """Add a version to the batch, send the batch if it is full, and return the version without its content."""
        self._batch.append((name, file))
        self._size += file.size
        if self._size >= (_BATCH_BYTES if self._release is not None else _BYTES_BEFORE_FIRST_BATCH):
            self._send_all()
        return file.without_content()

    def wait(self) -> None:
        """Wait until the batch that was sent is stored; necessary before any other statement."""
        if self._wait_for_batch is not None:
            wait, self._wait_for_batch = self._wait_for_batch, None
            wait()

    def finish(self) -> None:
        """Send what is left, and wait until everything is stored."""
        self._send_all()
        self.wait()

    def cancel(self) -> None:
        """Drop what was not sent, and wait for what was, so that the transaction can be rolled back."""
        self._batch = []
        try:
            self.wait()
        except errors.PromptctlError:
            return

    def _send_all(self) -> None:
        pending, self._batch, self._size = self._batch, [], 0
        for name, file in pending:
            self._batch.append((name, file))
            self._size += file.size
            if self._size >= _BATCH_BYTES:
                self._send_batch()
        if self._batch:
            self._send_batch()

    def _send_batch(self) -> None:
        if self._release is None:
            self.open_release()
            self._origins = self._load_origins()
        rows = [
            {
                "name": name,
                "version": file.number,
                "settings": file.settings,
                "metadata": file.metadata,
                "created_by": file.author or self._origins.get(file.path, {}).get("author"),
                "origin": self._origins.get(file.path),
            }
            for name, file in self._batch
        ]
        contents = [file.content or b"" for _, file in self._batch]
        send = versions.prepare(self._database, rows, contents, author=self._author, release=self.open_release())
        self.wait()
        self._wait_for_batch = send()
        self._batch, self._size = [], 0
