"""The order of the lines of `promptctl top`."""

from __future__ import annotations

from promptctl.rules.prompt_lines import PromptLine, ServedPrompt, ordered


def prompt(name: str, moved_at: str | None = None) -> ServedPrompt:
    return ServedPrompt(name, 1, None, 0, 0, None, None, None, None, None, None, None, moved_at, None, None)


def test_the_order_has_missing_values_last_in_both_directions() -> None:
    made = [
        PromptLine(prompt("a", "2026-11-30T10:00:00Z"), 1, 0, None, 0, None),
        PromptLine(prompt("b", "2026-11-30T10:00:00.5Z"), 9, 2, 80.0, 1, 0.5),
        PromptLine(prompt("c"), 9, 1, 90.0, 1, None),
    ]

    def names(key: str, *, is_reversed: bool = False) -> str:
        return "".join(line.prompt.name for line in ordered(made, key, is_reversed=is_reversed))

    assert [names(key) for key in ("uses", "errors", "p95", "cost", "moved", "name")] == [
        "bca", "bca", "cba", "bac", "bac", "abc",
    ]  # fmt: skip
    assert [names(key, is_reversed=True) for key in ("uses", "errors", "p95", "cost", "moved", "name")] == [
        "abc", "acb", "bca", "bac", "abc", "cba",
    ]  # fmt: skip
