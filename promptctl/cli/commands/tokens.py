"""promptctl tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.claude import api, prices, token_counts
from promptctl.claude import settings as claude_settings
from promptctl.cli import interruption, numbers, variables
from promptctl.output import token_view, waiting_line
from promptctl.rules import caching, references, templates
from promptctl.rules.message_requests import RequestTemplate
from promptctl.store import version_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.claude.token_counts import InputParts
    from promptctl.cli.run import Run
    from promptctl.store.version_texts import ServedVersion


def tokens(
    run: Run,
    reference: str,
    other: str | None = None,
    model: str | None = None,
    var: list[str] | None = None,
    vars_file: str | None = None,
    unit: str | None = None,
    timeout: int | None = None,
) -> None:
    """Show how many input tokens a version takes, and what they cost.

    Claude counts the tokens that a version adds to each call: its tools, the system
    prompt with its values, the few-shot messages, and what other parameters of the
    request add. A second version is shown beside the first. With the setting cache,
    the tokens before the breakpoint are shown, and the cost of a call that writes
    them to the cache or reads them from it.

    Set ANTHROPIC_API_KEY to the API key. ANTHROPIC_BASE_URL changes the server.

    Examples:
      promptctl tokens default-system-prompt
      promptctl tokens code_helper@1 code_helper@2 --var language=Python
    """
    targets = [references.parse(side) for side in (reference, other) if side is not None]
    numbers.check("--timeout", timeout)
    if unit is not None and any(target.version is not None for target in targets):
        raise errors.Usage("usage", "--unit selects the version: use the name without @VERSION")
    values = variables.read(var, vars_file)
    client = api.Claude(timeout or api.SILENCE_SECONDS)
    with run.database() as database:
        sides = [version_texts.read_served_version(database, target, unit) for target in targets]
    calls = _calls(sides, values, model)
    with interruption.timely_interrupts(), waiting_line.show(str(calls[0]["model"]), run.form):
        try:
            parts = token_counts.count_parts(client, calls, run.note)
        except errors.ClaudeFailed as failure:
            if failure.code == "invalid_request_error":
                failure.hint = f"promptctl show {sides[0].name}@{sides[0].version}"
            raise
    has_prices = prices.are_installed()
    token_view.show(
        [
            _counted_version(side, call, part, client.unknown_parameters(call), has_prices=has_prices)
            for side, call, part in zip(sides, calls, parts, strict=True)
        ],
        run.form,
    )


def _calls(sides: Sequence[ServedVersion], values: Mapping[str, str], model: str | None) -> list[dict[str, Any]]:
    """Return the keywords of a call with each version. Raises Usage for missing and unknown values."""
    parsed = [RequestTemplate(side.content, side.settings) for side in sides]
    calls: list[dict[str, Any]] = []
    for side, template in zip(sides, parsed, strict=True):
        reference = f"{side.name}@{side.version}"
        # A variable may be in only one of the versions.
        elsewhere = {name for other in parsed if other is not template for name in other.accepted}
        own = {name: value for name, value in values.items() if name not in elsewhere}
        variables.check(template.accepted, reference, own)
        try:
            keywords = template.keywords(values, model=model)
        except templates.MissingValues as problem:
            raise variables.missing(problem, reference) from None
        calls.append({"model": claude_settings.DEFAULT_MODEL, **keywords})
    return calls


def _counted_version(
    side: ServedVersion, call: Mapping[str, Any], parts: InputParts, unknown: Sequence[str], *, has_prices: bool
) -> token_view.CountedVersion:
    """Return a version with its tokens, what they cost now, and warnings.

    A warning names the parameters of the call that are not counted, `unknown`, and another one says that too few tokens
    can be cached.
    """
    import datetime

    model = str(call["model"])
    minimum = caching.minimum_tokens(model)
    is_cached = parts.cacheable is not None and (minimum is None or parts.cacheable >= minimum)
    warnings: list[str] = []
    if unknown:
        names = ", ".join(unknown)
        verb = "is" if len(unknown) == 1 else "are"
        warnings.append(f"{names} {verb} not counted: no parameter that Claude counts tokens of has this name")
    if parts.cacheable is not None and not is_cached:
        warnings.append(f"nothing is cached: {model} caches only {minimum:,} tokens or more, not {parts.cacheable:,}")
    now = datetime.datetime.now(datetime.UTC).isoformat()

    def cost(*, read: int = 0, written: int = 0) -> float | None:
        if not has_prices:
            return None
        for_an_hour = side.settings.get("cache") == "1h"
        return prices.cost_usd(model, parts.total, 0, read, written, now, writes_for_an_hour=for_an_hour)

    cached = parts.cacheable if is_cached else None
    return token_view.CountedVersion(
        side.name,
        side.version,
        model,
        parts,
        cost(),
        None if cached is None else cost(written=cached),
        None if cached is None else cost(read=cached),
        warnings,
    )
