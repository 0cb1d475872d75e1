"""Wait before a call of Claude that failed is made again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl import errors

MOST_ATTEMPTS = 3


def wait(failure: errors.ClaudeFailed, delay: float | None, attempts: int, report: Callable[[str], None]) -> bool:
    """Wait before a failed call is made again, and return True. `report` gets a message before the wait.

    `delay` is the time to wait in seconds, as `refusals.translate` returns it; `attempts` is how often the call was
    made. Returns False at once if a retry does not help, or after `MOST_ATTEMPTS`.
    """
    if delay is None or attempts >= MOST_ATTEMPTS:
        return False
    report(f"{failure.message}; retrying{f' in {delay:g} s' if delay else ''}")
    time.sleep(delay)
    return True
