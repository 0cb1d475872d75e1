"""promptctl compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.claude import prices
from promptctl.cli import comparing
from promptctl.output import comparison_view as output
from promptctl.output import stream
from promptctl.output.comparison_view import Comparison
from promptctl.rules import experiments, margins, references
from promptctl.store import comparisons, usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database
    from promptctl.rules.courses import Course
    from promptctl.rules.measurements import Measurements
    from promptctl.rules.statistics import Group
    from promptctl.store.comparisons import Period


def compare(
    run: Run,
    reference: str,
    versions: list[str] | None = None,
    by: str | None = None,
    since: str | None = None,
    all: bool = False,
    margin: list[str] | None = None,
    check: bool = False,
    strict: bool = False,
    html: str | None = None,
    format: str | None = None,
) -> int:
    """Show whether a version is better than another, and how sure that is.

    Compares the uses of versions that a split served side by side. NAME compares
    the candidate with the active version, or those of the last split. NAME@B
    compares B with the version that it was last split with. Look as often as you
    like: of twenty comparisons of versions that do not differ, at most one ever
    finds a metric better or worse.

    DIFFERENCE is B minus A, and the true difference is in INTERVAL. VERDICT is
    better or worse if the interval excludes zero, same if it is within the margin,
    and not known otherwise: then more uses are needed.

    Examples:
      promptctl compare default-system-prompt
      promptctl compare default-system-prompt @2 @3 --margin errors=0.5pt
      promptctl compare default-system-prompt --check --strict --quiet
      promptctl compare default-system-prompt --html report.html
    """
    form = run.select_form(format)
    if form == "markdown":
        stream.use_markdown()
    _check_options(by, html, check=check, strict=strict, all_splits=all)
    name, numbers = _versions(reference, versions or [])
    chosen_margins = margins.parse_all(margin)
    moment = None
    if since is not None:
        from promptctl.cli import time_values

        moment = time_values.parse(since)
    with run.database() as database:
        period = comparisons.read_period(database, name, numbers, moment, all_splits=all)
        if not period.epochs:
            if moment is not None:
                _require_any_split(database, period)
            measured = usage.read_measurements(database, name, None, ["version"], trend=False)
            groups = [group for group in comparing.groups(measured) if group.version in (period.a, period.b)]
            output.show_separate(period, form, lambda: _show_statistics(groups, form))
            return errors.NOT_DECIDED if strict else 0
        _check_period(period, by, moment)
        measured = usage.read_measurements(database, name, period.began_at, ["version"], trend=False)
        has_prices = bool(comparing.models(measured)) and prices.are_installed()
        estimates = comparisons.read_estimates(
            database, period, comparing.present_prices(measured) if has_prices else []
        )
        outside = comparing.outside(database, period, estimates, measured)
        course = None if html is None else _course(database, period)
    comparison = comparing.comparison(period, estimates, measured, chosen_margins, outside)
    if html is not None and course is not None:
        from promptctl.cli import html_files
        from promptctl.output import comparison_page

        html_files.write(html, comparison_page.text(comparison, measured.histograms, course))
    output.show(comparison, form, by_share=by is not None)
    if form in ("plain", "markdown"):
        _note_missing_prices(measured, has_prices=has_prices)
    return _exit_code(comparison, strict=strict) if check else 0


def _check_options(by: str | None, html: str | None, *, check: bool, strict: bool, all_splits: bool) -> None:
    """Raise Usage for options that are invalid or cannot be combined."""
    if by not in (None, "share"):
        raise errors.Usage("usage", f"invalid key {references.quoted(by)}: --by accepts share")
    if by is not None and all_splits:
        raise errors.Usage("usage", "use only one of --by and --all: several splits may have the same share")
    if strict and not check:
        raise errors.Usage("usage", "--strict needs --check")
    if html in ("", "-"):
        raise errors.Usage("usage", "--html needs the name of a file")


def _versions(reference: str, others: Sequence[str]) -> tuple[str, list[int]]:
    """Return the prompt's name, and no version, version B, or versions A and B. Raises Usage."""
    first = references.parse(reference)
    numbers = [] if first.version is None else [first.version]
    for other in others:
        name, at, number = other.partition("@")
        if not at:
            raise errors.Usage("version_missing", f"{references.quoted(other)} names no version: write @VERSION")
        if name and references.check_name(name) != first.name:
            raise errors.Usage("usage", f"versions of one prompt are compared, not of {first.name} and {name}")
        numbers.append(references.parse_version(number))
    if len(numbers) > 2:
        hint = f"promptctl compare {first.name}@{numbers[0]} @{numbers[1]}"
        raise errors.Usage("usage", "two versions are compared, not more", hint=hint)
    if len(numbers) == 2 and numbers[0] == numbers[1]:
        problem = f"{first.name}@{numbers[0]} cannot be compared with itself"
        raise errors.Usage("usage", problem, hint=f"promptctl compare {first.name}@{numbers[0]}")
    return first.name, numbers


def _check_period(period: Period, by: str | None, moment: str | None) -> None:
    """Raise Usage for a --since in the future by the server's clock, and for --by with the epochs of several splits."""
    if moment is not None and not moment.startswith("-"):
        from datetime import datetime

        if datetime.fromisoformat(moment) > datetime.fromisoformat(period.last_at):
            raise errors.Usage("invalid_time", f"--since {moment} is in the future")
    if by is not None and period.splits > 1:
        problem = f"--since takes in {period.splits} splits, and --by needs one: several splits may have the same share"
        raise errors.Usage("usage", problem, hint=f"promptctl compare {period.name} @{period.a} @{period.b} --by {by}")


def _require_any_split(database: Database, period: Period) -> None:
    """Raise NotFound if the versions were served side by side, but not after --since."""
    whole = comparisons.read_period(database, period.name, [period.a, period.b])
    if whole.epochs:
        raise errors.NotFound(
            "nothing_to_compare",
            f"versions {period.a} and {period.b} of {period.name} were not served side by side after --since",
            hint=f"promptctl compare {period.name} @{period.a} @{period.b}",
        )


def _note_missing_prices(measured: Measurements, *, has_prices: bool) -> None:
    """Report why the cost is missing, if a price is."""
    from promptctl.output import messages

    models = comparing.models(measured)
    if models and not has_prices:
        from promptctl import requirements

        install = requirements.install_extra("chat")
        messages.note(f'costs need the extra "chat" of promptctl, which is not installed: {install}')
        return
    priced = [(price["model"], price["size"]) for price in comparing.present_prices(measured)] if models else []
    unknown = sorted({model for model, tier in models if (model, tier) not in priced})
    if unknown:
        messages.note(f"no cost, because no price is known for {', '.join(unknown)}")


def _course(database: Database, period: Period) -> Course:
    from promptctl.rules import courses

    grain = courses.grain(period.began_at, period.last_at)
    measured = usage.read_measurements(database, period.name, period.began_at, ["version", grain], trend=False)
    return courses.course(measured, period.a, period.b, grain, period.began_at, period.last_at, comparing.price())


def _show_statistics(groups: Sequence[Group], form: str) -> None:
    from promptctl.output import stats_view

    stats_view.show(groups, ["version"], {}, "plain" if form == "markdown" else form, with_names=False)


def _exit_code(comparison: Comparison, *, strict: bool) -> int:
    verdicts = [judgment.verdict for judgment in comparison.judgments if judgment.value_a is not None]
    if experiments.WORSE in verdicts:
        return errors.DIFFERENT
    is_decided = verdicts and experiments.NOT_KNOWN not in verdicts and not comparison.traffic.has_alarm
    return errors.NOT_DECIDED if strict and not is_decided else 0
