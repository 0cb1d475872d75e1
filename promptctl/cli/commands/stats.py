"""promptctl stats."""

from __future__ import annotations

from promptctl import errors
from promptctl.claude import prices
from promptctl.output import messages, stream
from promptctl.output import stats_view as output
from promptctl.rules import references, statistics
from promptctl.store import usage as store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database
    from promptctl.rules.measurements import Measurements

_MOST_VERDICTS = 3
# Without --since: who looks for the worst uses looks at what happens now.
_WORST_SINCE = "24h"


def stats(
    run: Run,
    name: str | None = None,
    since: str | None = None,
    by: str | None = None,
    all: bool = False,
    worst: int | None = None,
    csv: bool = False,
    format: str | None = None,
) -> None:
    """Show uses, errors, tokens, times and cost of each version.

    TOKENS, TIME and FIRST are averages. FIRST is the time to the first token.
    Averages and percentiles leave out failed uses, and uses that did not record
    the value. Failed uses are counted separately. A percentile is accurate to
    within 1.1%. COST is the total cost of the tokens, if the price of the model
    is known. HIT is the part of the input that was read from a cache, and SAVED
    what caching saved, negative if it cost more. SHARE is the version's share of a
    split. Without NAME, versions that were never used are hidden, unless they are
    active or a candidate.

    --worst lists single uses of the last 24 hours, or of --since: first those that
    failed, then the slowest. TRACE is the trace of OpenTelemetry, if there is one.

    Examples:
      promptctl stats default-system-prompt
      promptctl stats --by day --since 7d
      promptctl stats default-system-prompt --by day,version --csv
      promptctl stats default-system-prompt --worst 10 --since 1h
      promptctl stats --format prometheus
    """
    if name is not None:
        references.check_name(name)
    form = _form(run, format, since=since, by=by, all=all, worst=worst, csv=csv)
    if form == "prometheus":
        _show_metrics(run, name)
        return
    if worst is not None:
        _show_worst(run, name, worst, since, form)
        return
    keys = _keys(by)
    moment = None
    if since is not None:
        from promptctl.cli import time_values

        moment = time_values.parse(since)
    is_table = form == "plain" and stream.for_people()
    shows_trend = is_table and keys == ["version"] and stream.to_terminal()
    with run.database() as database, prices.LoadInBackground():
        measured = store.read_measurements(database, name, moment, keys, trend=shows_trend)
        # A group of more than a day may span a change of a price. Then the sums are split at the days of the changes.
        has_prices = _needs_prices(measured) and prices.are_installed()
        if has_prices and not {"day", "hour"} & set(keys) and (days := _price_days(measured)):
            measured = store.read_measurements(database, name, moment, keys, trend=shows_trend, price_days=days)
        verdicts = _verdicts(database, name) if shows_trend and name is not None else []
    groups = statistics.aggregate(measured, keys, prices.cost_usd if has_prices else _no_price)
    listed = groups
    if name is None and not all and keys == ["version"]:
        listed = [group for group in groups if group.uses or group.is_active or group.is_candidate]
    unused = len(groups) - len(listed)
    output.show(listed, keys, measured.fallbacks, form, with_names=name is None)
    if is_table and unused:
        messages.note(f"{unused} {'versions were' if unused != 1 else 'version was'} never used: --all shows them")
    elif is_table and not listed:
        what = "prompt" if name is None else f"version of {name}"
        messages.note(f"no {what} in {database.label} yet" if keys == ["version"] else "no uses")
    if run.form != "quiet" and not has_prices and _needs_prices(measured):
        from promptctl import requirements

        messages.note(f"{requirements.NO_PRICES}: {requirements.install_extra('chat')}")
    if run.form == "plain":
        _note_routes_and_holds(measured)
    for verdict in verdicts:
        messages.note(verdict)


def _form(
    run: Run, format: str | None, *, since: str | None, by: str | None, all: bool, worst: int | None, csv: bool
) -> str:
    """Return the form of the answer: plain, quiet, json, csv or prometheus. Markdown is plain.

    Raises Usage for an unknown format, and for options that it does not go with.
    """
    if csv and run.form != "plain":
        raise errors.Usage("usage", "use only one of --csv, --json and --quiet")
    if csv and format not in (None, "csv"):
        raise errors.Usage("usage", f"use only one of --format {format} and --csv")
    form = run.form
    if format is not None:
        from promptctl.cli import formats

        form = run.use_format(format, formats.OF_STATS)
    selections = {"--worst": worst is not None, "--since": since is not None, "--by": by is not None, "--all": all}
    if form == "prometheus" and (option := next((option for option in selections if selections[option]), None)):
        raise errors.Usage("usage", f"--format prometheus has the sums of all time of each version: leave out {option}")
    if worst is not None:
        from promptctl.cli import numbers

        numbers.check("--worst", worst)
        if by is not None or all:
            raise errors.Usage("usage", f"--worst lists single uses: leave out {'--all' if by is None else '--by'}")
    if form == "markdown":
        return "plain"
    return "csv" if csv else form


def _show_worst(run: Run, name: str | None, most: int, since: str | None, form: str) -> None:
    """List the failed and the slowest uses."""
    from promptctl.cli import time_values
    from promptctl.output import worst_view
    from promptctl.store import worst_uses

    moment = time_values.parse(_WORST_SINCE if since is None else since)
    with run.database() as database:
        worst = worst_uses.read(database, name, moment, most)
    worst_view.show(worst, name, form)
    if run.form != "quiet":
        words = _WORST_SINCE if since is None else since.strip()
        # Of an age such as 7d, the moment is -7d.
        period = f"in the last {words}" if moment.startswith("-") else f"since {words}"
        worst_view.note_period(worst, period, is_default=since is None)


def _show_metrics(run: Run, name: str | None) -> None:
    """Print the page of metrics for Prometheus."""
    from promptctl.output import prometheus_view
    from promptctl.rules import exported_counters
    from promptctl.store import monitoring

    keys = ["version"]
    with run.database() as database, prices.LoadInBackground():
        measured = store.read_measurements(database, name, None, keys, trend=False)
        has_prices = _needs_prices(measured) and prices.are_installed()
        if has_prices and (days := _price_days(measured)):
            measured = store.read_measurements(database, name, None, keys, trend=False, price_days=days)
        moment, prompts = monitoring.read(database, name)
    serving = {
        (prompt.name, version)
        for prompt in prompts
        for version in (prompt.active_version, prompt.candidate_version)
        if version is not None
    }
    versions = exported_counters.counters(
        measured, serving, moment.day_ago, prices.cost_usd if has_prices else _no_price
    )
    prometheus_view.show(versions, prompts, moment)


def _verdicts(database: Database, name: str) -> list[str]:
    """Return a sentence for the last verdict of each version of a prompt that was tested, the newest versions only."""
    from promptctl.output import prompt_view
    from promptctl.store import test_runs

    verdicts = test_runs.last_verdicts(database, [name])[-_MOST_VERDICTS:]
    return [f"{one.name}@{one.version} {prompt_view.test_sentence(one.as_dict())}" for one in verdicts]


def _note_routes_and_holds(measured: Measurements) -> None:
    """Print a note for each prompt that has a route or is held after a move by an operator."""
    # One version per prompt is enough: the route and the hold belong to the prompt.
    versions = {version.name: version for version in measured.versions}
    for name, version in versions.items():
        if version.route_steps:
            steps = f"{version.route_steps} step{'s' * (version.route_steps != 1)}"
            messages.note(f"{name} has a route of {steps}: promptctl route show {name}")
        if version.source_version is not None:
            messages.note(f"{name} is held, the folder names {version.source_version}")


def _price_days(measured: Measurements) -> list[str]:
    """Return the days on which the price of a used model changed."""
    last = max((part.last_used_at for part in measured.sums if part.last_used_at is not None), default=None)
    return prices.price_days(_priced_models(measured), last)


def _needs_prices(measured: Measurements) -> bool:
    return bool(_priced_models(measured))


def _priced_models(measured: Measurements) -> set[str]:
    """Return the models of the uses that have tokens."""
    return {part.model for part in measured.sums if part.with_tokens and part.model is not None}


def _no_price(*_: object) -> None:
    """Stand for `prices.cost_usd` where there are no prices."""


def _keys(by: str | None) -> list[str]:
    """Return the keys of --by, by default `version`. Raises Usage for an unknown or repeated key."""
    keys = ["version"] if by is None else [key.strip() for key in by.split(",")]
    for key in keys:
        if key not in statistics.KEYS or keys.count(key) > 1:
            problem = f"invalid key {references.quoted(key)}" if key not in statistics.KEYS else f"{key} appears twice"
            raise errors.Usage("usage", f"{problem}: --by accepts {', '.join(statistics.KEYS)}, separated by commas")
    return keys
