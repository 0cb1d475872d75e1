"""`promptctl.yaml` beside the prompts of a folder: what holds for every prompt.yaml that says nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl.folder import listing, prompt_yaml, strict_yaml, texts
from promptctl.folder.listing import DEFAULTS_NAMES

if TYPE_CHECKING:
    from typing import Any

_KEYS = ("template",)


def read(folder: str, problems: list[str]) -> dict[str, Any]:
    """Return the settings that a folder has for all its prompts; what is wrong is added to `problems`, by its line."""
    paths = [path for name in DEFAULTS_NAMES if os.path.lexists(path := os.path.join(folder, name))]
    if len(paths) > 1:
        problems.append(f"{folder}: both {DEFAULTS_NAMES[0]} and {DEFAULTS_NAMES[1]}")
    settings: dict[str, Any] = {}
    for path in paths:
        try:
            raw = listing.read_bytes(path)
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
            continue
        settings |= _parse(raw, path, problems)
    return settings


def _parse(raw: bytes, path: str, problems: list[str]) -> dict[str, Any]:
    if unfinished := texts.unfinished(raw.decode(errors="replace")):
        problems.append(f"{path}: {unfinished}")
        return {}
    try:
        root, document = strict_yaml.nodes(raw), strict_yaml.load(raw)
    except strict_yaml.Malformed as problem:
        problems.append(f"{path}:{problem.line}: {problem.what}")
        return {}
    if document is None:
        return {}
    if not isinstance(document, dict):
        problems.append(f"{path}: not a mapping of keys to values")
        return {}
    settings: dict[str, Any] = {}
    for (key, value), (node, _) in zip(document.items(), root.value, strict=True):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - any YAML
        where = f"{path}:{node.start_mark.line + 1}"
        wrong: list[str] = []
        if key not in _KEYS:
            wrong.append(prompt_yaml.unknown(key, _KEYS))  # pyright: ignore[reportUnknownArgumentType]
        elif prompt_yaml.is_setting(key, value, wrong.append):  # pyright: ignore[reportUnknownArgumentType]
            settings[key] = value
        problems += [f"{where}: {each}" for each in wrong]
    return settings
