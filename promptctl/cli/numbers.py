"""The options that accept a number, and the range of each."""

from __future__ import annotations

from promptctl import errors
from promptctl.rules import references

# Smallest and largest number, and the unit for messages.
RANGES = {
    "--limit": (0, references.HIGHEST_VERSION, ""),
    # The same range as the constraint max_tokens_is_at_least_1.
    "--max-tokens": (1, 999_999_999, ""),
    "--timeout": (1, 999_999_999, " of seconds"),
}


def check(option: str, number: int | None) -> None:
    """Raise Usage for a number outside of the option's range. None passes."""
    if number is not None and not RANGES[option][0] <= number <= RANGES[option][1]:
        raise refused(option, str(number))


def parse(option: str, text: str) -> int:
    """Return the number that a text means; raises Usage for any other text."""
    try:
        return int(text)
    except ValueError:
        raise refused(option, text) from None


def refused(option: str, value: str) -> errors.Usage:
    """Return the error for a value that the option does not accept, with the range and the value."""
    smallest, largest, unit = RANGES[option]
    written = value if value.removeprefix("-").isdigit() and len(value) < 20 else references.quoted(value)
    return errors.Usage("usage", f"{option} is a whole number{unit} from {smallest} to {largest}, not {written}")
