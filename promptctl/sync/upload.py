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

# How much new text one statement stores. A large folder in one statement would exceed what PostgreSQL's JSON can hold.
# Nothing is sent before there is this much, or a plan that is not refused. The first batch opens the release, and a
# rollback does not free its number. So a refused sync with less new text uses no number.
_BATCH_BYTES = 1024 * 1024


class Uploader:
    """Stores new versions in batches, in a release that it opens with the first batch.

    While the server stores one batch, Python prepares the next one. The transaction is the caller's: if the sync is
    refused later, everything is rolled back.
    """

    def __init__(
        self,
        database: Database,
        source: str,
        commit: Commit | None,
        *,
        author: str,
        origin: Callable[[], Mapping[str, Any]],
        origins: Callable[[list[str]], Origins],
    ) -> None:
        """Make an uploader; nothing is sent yet.

        `origin` returns the origin of the folder, `origins` the origin of each of these files by path. They are not
        called before the release is opened.
        """
        self.reason = f"sync {commit.short}" if commit else "sync"
        self._database = database
        self._source = source
        self._author = author
        self._load_origin = origin
        self._load_origins = origins
        self._release: int | None = None
        self._batch: list[tuple[str, FileVersion]] = []
        self._size = 0
        self._wait_for_batch: Callable[[], Any] | None = None

    def open_release(self) -> int:
        """Open the release on the first call, and return its number."""
        if self._release is None:
            self._release = syncs.open_release(
                self._database, self._source, self._load_origin(), author=self._author, reason=self.reason
            )
        return self._release

    def upload(
        self, reader: FolderReader, stored: Mapping[str, StoredPrompt], prompts: Iterable[FolderPrompt]
    ) -> Iterator[FolderPrompt]:
        """Add the new texts of `prompts`, which `reader` parses, and yield each prompt without these texts' contents.

        Once `reader` has found a problem, no further text is added, because the sync will fail.
        """
        spellings = {name.lower(): name for name in stored}
        for prompt in prompts:
            stored_prompt = stored.get(prompt.name)
            # The plan reports a conflict for a name that differs only in case and for a new text of an archived prompt.
            has_other_spelling = spellings.get(prompt.name.lower(), prompt.name) != prompt.name
            is_archived = stored_prompt is not None and stored_prompt.is_archived
            if reader.has_problems or has_other_spelling or is_archived:
                yield prompt
            else:
                yield prompt.with_versions(self._add_new_versions(prompt, stored_prompt))

    def _add_new_versions(self, prompt: FolderPrompt, stored_prompt: StoredPrompt | None) -> list[FileVersion]:
        stored_versions = stored_prompt.versions if stored_prompt is not None else {}
        # The plan reports a conflict for a text that was erased, too.
        erased = {version.sha256 for version in stored_versions.values() if version.is_erased}
        return [
            file if file.number in stored_versions or file.sha256 in erased else self.add(prompt.name, file)
            for file in prompt.versions
        ]

    def add(self, name: str, file: FileVersion) -> FileVersion:
        """Add a version to the batch, send the batch if it is full, and return the version without its content."""
        self._batch.append((name, file))
        self._size += file.size + file.request_size
        if self._size >= _BATCH_BYTES:
            self._send_batch()
        return file.without_content()

    def wait(self) -> None:
        """Wait until the server has stored the batch that was sent last. No other statement can run before that."""
        if self._wait_for_batch is not None:
            wait, self._wait_for_batch = self._wait_for_batch, None
            wait()

    def finish(self) -> None:
        """Send what is left, and wait until everything is stored."""
        if self._batch:
            self._send_batch()
        self.wait()

    def send_rest(self) -> None:
        """Send what is left, unless nothing was sent yet: then the plan may still be refused without a release."""
        if self._release is not None and self._batch:
            self._send_batch()

    def cancel(self) -> None:
        """Drop what was not sent, and wait for what was, so that the transaction can be rolled back."""
        self._batch = []
        try:
            self.wait()
        except errors.PromptctlError:
            return

    def _send_batch(self) -> None:
        release = self.open_release()
        origins = self._load_origins([path for _, file in self._batch for path in file.paths])
        rows = [
            {
                "name": name,
                "version": file.number,
                "settings": file.settings,
                "metadata": file.metadata,
                "created_by": file.author or origins.get(file.path, {}).get("author"),
                "origin": file.origin(origins),
            }
            for name, file in self._batch
        ]
        contents = [file.content or b"" for _, file in self._batch]
        # Encode this batch while the server stores the last one, then wait for the last one.
        send = versions.prepare(self._database, rows, contents, author=self._author, release=release)
        self.wait()
        self._wait_for_batch = send()
        self._batch, self._size = [], 0
