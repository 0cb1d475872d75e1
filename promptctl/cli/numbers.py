"""The options that accept a number, and the range of each."""

from __future__ import annotations

from promptctl import errors
from promptctl.rules import references

# By option: the smallest and the largest number, and the unit for errors.
RANGES = {
    "--limit": (0, references.HIGHEST_VERSION, ""),
    # The same range as the constraint max_tokens_is_at_least_1.
    "--max-tokens": (1, 999_999_999, ""),
    # The same range as the constraint of the table `rollouts`.
    "--uses": (0, 999_999_999, ""),
    # The same range as `repeat` in a file of test cases.
    "--repeat": (1, 100, ""),
    "--minutes": (1, 60, ""),
    "--worst": (1, 1000, ""),
    "--timeout": (1, 999_999_999, " of seconds"),
}


def check(option: str, number: int | None) -> None:
    """Raise Usage for a number outside of the option's range. None is always valid."""
    smallest, largest, _ = RANGES[option]
    if number is not None and not smallest <= number <= largest:
        raise refusal(option, str(number))


def parse(option: str, text: str) -> int:
    """Return the number in a text. Raises Usage if the text is not a whole number."""
    try:
        return int(text)
    except ValueError:
        raise refusal(option, text) from None


def refusal(option: str, value: str) -> errors.Usage:
    """Return the error for a value that the option does not accept. It names the range."""
    smallest, largest, unit = RANGES[option]
    written = value if value.removeprefix("-").isdigit() and len(value) < 20 else references.quoted(value)
    return errors.Usage("usage", f"{option} is a whole number{unit} from {smallest} to {largest}, not {written}")
