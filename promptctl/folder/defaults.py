"""Parse `promptctl.yaml`, the default settings of a folder: a version has those that its prompt.yaml does not set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl.folder import listing, prompt_yaml, strict_yaml, texts, yaml_settings, yaml_values
from promptctl.folder.listing import DEFAULTS_NAMES

if TYPE_CHECKING:
    from typing import Any

_KEYS = ("template",)


def read(folder: str, problems: list[str]) -> dict[str, Any]:
    """Return the default settings of a folder. What is wrong is added to `problems`, with its line."""
    paths = [path for name in DEFAULTS_NAMES if os.path.lexists(path := os.path.join(folder, name))]
    if len(paths) > 1:
        problems.append(f"{folder}: has both {DEFAULTS_NAMES[0]} and {DEFAULTS_NAMES[1]}")
    settings: dict[str, Any] = {}
    for path in paths:
        try:
            raw = listing.read_bytes(path)
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
            continue
        settings |= _parse(raw, path, problems)
    return settings


def _unknown_key(key: object) -> str:
    if key in prompt_yaml.KEYS:
        return f"unknown key {yaml_values.quoted(key)}: it belongs in the prompt.yaml of each prompt"
    if key not in yaml_settings.REQUEST_PARAMETERS:
        return yaml_settings.request_hint(key, is_exact=True) or yaml_values.unknown_key(key, _KEYS)
    return f"unknown key {yaml_values.quoted(key)}: in the prompt.yaml of each prompt, it belongs in request"


def _parse(raw: bytes, path: str, problems: list[str]) -> dict[str, Any]:
    if problem := texts.git_problem(raw.decode(errors="replace")):
        problems.append(f"{path}: {problem}")
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
    # The document has the values, the nodes of its keys have the lines.
    for (key, value), (key_node, _) in zip(document.items(), root.value, strict=True):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - any YAML
        key_problems: list[str] = []
        if key not in _KEYS:
            key_problems.append(_unknown_key(key))  # pyright: ignore[reportUnknownArgumentType]
        elif yaml_settings.is_valid(key, value, key_problems.append):  # pyright: ignore[reportUnknownArgumentType]
            settings[key] = value
        problems += [f"{path}:{key_node.start_mark.line + 1}: {problem}" for problem in key_problems]
    return settings
