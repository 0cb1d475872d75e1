"""Commands for a shell that save the edited files of a version under a free number."""

from __future__ import annotations

import shlex


def operand(path: str) -> str:
    """Return a path in quotes. A path that begins with a hyphen would be an option."""
    return shlex.quote(path if not path.startswith("-") else f"./{path}")


def move(path: str, number: int) -> str:
    """Return the command that renames the file of a version: `mv a/v1.txt a/v3.txt`."""
    return f"mv {operand(path)} {operand(_renumbered(path, number))}"


def copy(path: str, number: int) -> str:
    """Return the command that copies the file of a version: `cp a/v1.txt a/v3.txt`."""
    return f"cp {operand(path)} {operand(_renumbered(path, number))}"


def _renumbered(path: str, number: int) -> str:
    """Return the path of the same file for another version. The suffix of a request file is `.request.yaml`."""
    folder, _, file = path.rpartition("/")
    return f"{folder}/v{number}.{file.partition('.')[2]}"
