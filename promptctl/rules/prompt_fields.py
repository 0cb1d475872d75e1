"""The fields by which traces and log records name a prompt.

The names of the first two, and the version as text, are those of OpenTelemetry's conventions for generative AI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Fields = dict[str, str | int | float | bool]

NAME = "gen_ai.prompt.name"
VERSION = "gen_ai.prompt.version"
EPOCH = "promptctl.epoch"
IS_CANDIDATE = "promptctl.is_candidate"
IS_DEFAULT = "promptctl.is_default"
AGE_SECONDS = "promptctl.age_seconds"
USE_ID = "promptctl.use_id"


def of_version(name: str, version: int | None, epoch: int | None) -> Fields:
    """Return the fields of a version. An application's own text, which is the default, has no version and no epoch."""
    fields: Fields = {NAME: name, IS_DEFAULT: version is None}
    if version is not None:
        fields[VERSION] = str(version)
    if epoch is not None:
        fields[EPOCH] = epoch
    return fields


def common(first: Fields, second: Fields) -> Fields:
    """Return the fields that have the same value in both."""
    return {name: value for name, value in first.items() if second.get(name) == value}
