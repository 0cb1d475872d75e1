"""The version files that a commit has of a folder, for a check that compares them with the files of the folder."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import git, listing, prompt_yaml, request_files, texts
from promptctl.records import Record
from promptctl.rules.references import quoted, short_hash

if TYPE_CHECKING:
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion
    from promptctl.folder.provenance import Checkout

_DEFAULT_REVISION = "HEAD"
_LINK = "120000"
# A link can lead to a link. Git follows as many links in one path before it reports a loop.
_MOST_LINKS = 40
# The hash function of a repository, by the length of its hashes in hexadecimal.
_HASH_FUNCTIONS = {40: "sha1", 64: "sha256"}


class BaseFile(Record):
    """A version file of a commit: its path below the folder, and the hash under which Git stores its content."""

    path: str
    blob: str


class Base(Record):
    """The files of prompts that a commit has of a folder.

    `revision` is the name of the commit that the user chose, else HEAD. `commit` is its full hash, None for the HEAD of
    a repository without commits. `versions` has the version files by the name of their prompt and by number,
    `request_files` the request files, and `yaml` each prompt.yaml by the name of its prompt.
    """

    folder: str
    revision: str
    commit: str | None
    versions: dict[str, dict[int, BaseFile]]
    request_files: dict[str, dict[int, BaseFile]]
    yaml: dict[str, BaseFile]

    @property
    def is_default(self) -> bool:
        """Whether the user named no commit."""
        return self.revision == _DEFAULT_REVISION

    @property
    def label(self) -> str:
        """The commit for a title: its name, and its abbreviated hash."""
        if self.commit is None:
            return f"{self.revision}, which has no commit"
        short = short_hash(self.commit)
        return short if self.commit.startswith(self.revision) else f"{self.revision} ({short})"

    def edited_text(self, name: str, file: FileVersion) -> str | None:
        """Return the text that the commit has of a version if the file has another one, else None.

        A text that no sync could have stored, for example one with a merge conflict, is not compared: no version has
        it, so the file may be corrected.
        """
        base_file = self.versions.get(name, {}).get(file.number)
        if base_file is None or _blob_hash(file.content or b"", base_file.blob) == base_file.blob:
            return None
        raw = self._read(base_file)
        try:
            text = texts.normalise(raw, base_file.path)
        except errors.Usage:
            return None
        if texts.git_problem(text):
            # With Git LFS, the commit has only the hash of the file.
            return text if texts.is_lfs_pointer(text) and not _is_target(text, file) else None
        return text if text.encode() != file.content else None

    def other_request(self, name: str, file: FileVersion) -> dict[str, Any] | None:
        """Return settings with the request that the commit has of a version if the folder has another one, else None.

        A request that comes from prompt.yaml in both is not compared, and neither is an invalid request of the commit.
        """
        base_file = self.request_files.get(name, {}).get(file.number)
        if file.number not in self.versions.get(name, {}) or (base_file is None and file.request_path is None):
            return None
        settings: dict[str, Any] = {}
        problems: list[str] = []
        if base_file is not None:
            if file.request_path is not None and _file_hash(file.request_path, base_file.blob) == base_file.blob:
                return None
            request = request_files.setting(request_files.parse(self._read(base_file), base_file.path, problems))
            settings = {} if request is None else {"request": request}
        elif (yaml := self.yaml.get(name)) is not None:
            settings = prompt_yaml.parse(self._read(yaml), yaml.path, problems).of(file.number).settings
        return None if problems or request_files.same(settings, file.settings) else settings

    def _read(self, file: BaseFile) -> bytes:
        """Return the content of a file of the commit."""
        raw = git.read_bytes("-C", self.folder, "cat-file", "blob", file.blob)
        if raw is None:
            raise _unreadable(self, file.path)
        return raw


def read(checkout: Checkout, revision: str | None) -> Base | None:
    """Return the files of prompts that a commit has of a folder, None if the folder is in no Git repository.

    `revision` names the commit, None for HEAD. Raises Usage if it is the name of no commit, Failed (`git_failed`) if
    Git cannot list the commit.
    """
    folder = checkout.folder
    if revision is not None:
        commit = _commit_hash(checkout, revision)
    elif not checkout.is_in_repository:
        return None
    else:
        commit = checkout.commit.hash if checkout.commit else None
    base = Base(folder, revision or _DEFAULT_REVISION, commit, {}, {}, {})
    if commit is None:
        return base
    output = git.start("-C", folder, "ls-tree", "-r", "-z", commit)()
    if output is None:
        raise _unreadable(base, folder)
    blobs: dict[str, str] = {}
    links: dict[str, str] = {}
    for entry in output.split("\0"):
        # `MODE TYPE HASH<TAB>PATH`, with the path relative to the folder.
        description, _, path = entry.partition("\t")
        mode, _, type_and_hash = description.partition(" ")
        kind, _, blob = type_and_hash.partition(" ")
        if kind == "blob":
            (links if mode == _LINK else blobs)[path] = blob
    if links:
        _follow_links(folder, blobs, links)
    for path, blob in blobs.items():
        name, _, file = path.rpartition("/")
        if number := listing.number_of(file):
            base.versions.setdefault(name, {}).setdefault(number, BaseFile(path, blob))
        elif number := listing.request_number_of(file):
            base.request_files.setdefault(name, {}).setdefault(number, BaseFile(path, blob))
        elif file.lower() in listing.YAML_NAMES:
            base.yaml.setdefault(name, BaseFile(path, blob))
    return base


def _commit_hash(checkout: Checkout, revision: str) -> str:
    """Return the full hash of a commit. Raises Usage."""
    if not checkout.is_in_repository:
        raise errors.Usage("usage", f"--base {quoted(revision)}: {quoted(checkout.folder)} is in no Git repository")
    commit = None
    # Git would take a word that begins with a hyphen as an option.
    if revision.strip() and not revision.startswith("-"):
        commit = git.start("-C", checkout.folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")()
    if not commit:
        hint = "git fetch --unshallow, or fetch-depth: 0 for actions/checkout" if checkout.is_shallow else "git fetch"
        raise errors.Usage("usage", f"--base: this clone has no commit {quoted(revision)}", hint=hint)
    return commit


def _follow_links(folder: str, blobs: dict[str, str], links: dict[str, str]) -> None:
    """Add the files to which links lead, under the paths of the links. Links out of the folder are not followed."""
    targets: dict[str, str] = {}
    for path, blob in links.items():
        target = git.read_bytes("-C", folder, "cat-file", "blob", blob)
        if target:
            targets[path] = os.path.normpath(os.path.join(os.path.dirname(path), os.fsdecode(target)))
    for _ in range(_MOST_LINKS):
        added: dict[str, str] = {}
        for path, target in targets.items():
            if target in blobs:
                added[path] = blobs[target]
            else:
                below = f"{target}/"
                added |= {
                    path + file.removeprefix(target): blob for file, blob in blobs.items() if file.startswith(below)
                }
        if added.keys() <= blobs.keys():
            return
        blobs |= added


def _blob_hash(content: bytes, example: str) -> str:
    """Return the hash under which Git stores a content, by the same hash function as `example`."""
    digest = hashlib.new(_HASH_FUNCTIONS[len(example)], b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def _file_hash(path: str, example: str) -> str | None:
    """Return the hash under which Git stores a file, None for a file that cannot be read any more."""
    try:
        return _blob_hash(listing.read_bytes(path), example)
    except OSError:
        return None


def _is_target(pointer: str, file: FileVersion) -> bool:
    """Whether a pointer of Git LFS stands for a file. A file that cannot be read any more is not compared."""
    try:
        raw_hash = hashlib.sha256(listing.read_bytes(file.path)).hexdigest()
    except OSError:
        return True
    return any(f"\noid sha256:{sha256}\n" in f"{pointer}\n" for sha256 in (raw_hash, file.sha256))


def _unreadable(base: Base, path: str) -> errors.Failed:
    """Return the error for a clone that lacks objects of the commit, for example a partial clone offline."""
    import shlex

    message = f"git cannot read {path} of the commit {base.label}"
    return errors.Failed("git_failed", message, hint=f"git -C {shlex.quote(base.folder)} fsck --connectivity-only")
