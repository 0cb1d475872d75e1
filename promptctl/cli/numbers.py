"""The options that take a number, and the range of each."""

from __future__ import annotations

from promptctl import errors
from promptctl.rules import references

# Smallest, largest, and the unit that a message names.
RANGES = {
    "--limit": (0, references.HIGHEST_VERSION, ""),
    # As the constraint max_tokens_is_at_least_1 has it.
    "--max-tokens": (1, 999_999_999, ""),
    "--timeout": (1, 999_999_999, " of seconds"),
}


def check(option: str, number: int | None) -> None:
    """Raise Usage for a number that is out of the option's range; None is no number, and passes."""
    if number is not None and not RANGES[option][0] <= number <= RANGES[option][1]:
        raise refused(option, str(number))


def refused(option: str, value: str) -> errors.Usage:
    """Return the error for a value that the option does not take: it names the range and the value."""
    smallest, largest, unit = RANGES[option]
    written = value if value.removeprefix("-").isdigit() and len(value) < 20 else references.quoted(value)
    return errors.Usage("usage", f"{option} is a whole number{unit} from {smallest} to {largest}, not {written}")
