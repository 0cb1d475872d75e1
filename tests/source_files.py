"""The files of this repository, as Git lists them, or as they are in an unpacked source distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
_NOT_SOURCE = {".git", ".venv", ".hypothesis", ".pytest_cache", ".ruff_cache", "__pycache__", "dist", "node_modules"}


def source_files() -> list[str]:
    """Return the paths of all source files, relative to the root. A new file counts if Git does not ignore it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if (ROOT / ".git").exists() and listed.returncode == 0:
        paths = {path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()}
    else:
        paths = {
            os.path.relpath(os.path.join(folder, name), ROOT)
            for folder, _, names in os.walk(ROOT)
            if not _NOT_SOURCE & set(Path(folder).relative_to(ROOT).parts)
            for name in names
        } - {"PKG-INFO"}
    return sorted(paths)


def copy_sources(destination: Path) -> None:
    """Copy all source files to a new folder."""
    for path in source_files():
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)
