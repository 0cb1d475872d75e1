"""Regular expressions of test cases, in the syntax of Python's `re`. Pure."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_MOST_CHARACTERS = 10_000


def problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern, as a clause without a subject: `is not a regular expression: …`, or None."""
    import re

    if len(pattern) > _MOST_CHARACTERS:
        return f"has more than {_MOST_CHARACTERS} characters"
    try:
        compiled(pattern)
    except re.error as failure:
        return f"is not a regular expression: {failure}"
    except (OverflowError, RecursionError):
        return "is not a regular expression: it is nested or repeated too often"
    return None


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern. Raises re.error, OverflowError and RecursionError."""
    import re
    import warnings

    with warnings.catch_warnings():
        # `[[a]` has a FutureWarning, which the author of a case would see without its place.
        warnings.simplefilter("ignore")
        return re.compile(pattern)
