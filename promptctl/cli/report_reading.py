"""Read everything that a report of prompts shows."""

from __future__ import annotations

from promptctl import threads
from promptctl.claude import prices
from promptctl.output.report_page import Report
from promptctl.output.report_section import PromptReport
from promptctl.records import Record
from promptctl.rules import report_numbers, report_periods
from promptctl.rules.report_numbers import ReportNumbers
from promptctl.store import prompt_states, report_states, report_usage
from promptctl.store.report_usage import CellUsage, Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from promptctl.output.comparison_view import Comparison
    from promptctl.output.test_words import Tested
    from promptctl.postgres.database import Database
    from promptctl.rules.report_periods import ReportPeriod
    from promptctl.rules.usage_series import TokenPrice
    from promptctl.store.report_states import OlderMoves, ReportMove, ReportStates
    from promptctl.store.report_usage import Statement
    from promptctl.store.rollouts import Rollout, Tick

# A page with more sections takes seconds to open. The prompts with the most uses have one.
MOST_SECTIONS = 60


def read(database: Database, names: Sequence[str], since: str, until: str | None) -> Report:
    """Return the report of some prompts, or of all. The times are those of `report_periods.choose`. Raises NotFound."""
    chosen = sorted(set(names)) or None
    clock = report_usage.read_clock(database)
    period = report_periods.choose(clock.now, since, until)
    # Loading the prices takes as long as the server takes for the sums.
    threads.start(prices.are_installed)
    states, usage, compared, fallbacks = _read_rows(database, chosen, period, clock.rolled_below)
    if chosen is not None:
        existing = {state.name for state in states.states}
        for name in names:
            if name not in existing:
                prompt_states.require_prompt(database, name)
    numbers, unpriced = _numbers(period, usage, compared)
    fallback_counts = dict(fallbacks)
    moves, older = _by_name(states)
    sections = list(chosen or _busiest(states, numbers, moves))
    split = {state.name for state in states.states if state.candidate_version is not None}
    extras = _Extras(database, sections, split, period)
    prompts = [
        PromptReport(
            state,
            numbers.series.get(state.name),
            moves.get(state.name, []),
            older.get(state.name, []),
            fallbacks=fallback_counts.get(state.name, 0),
            rollout=extras.rollout(state.name),
            ended_rollout=extras.ended_rollout(state.name),
            comparison=extras.comparison(state.name),
            test=extras.test(state.name),
        )
        for state in states.states
        # Neither an archived prompt nor one that was made after the period is part of it without uses or moves.
        if (state.archived_at is None and state.created_at is None)
        or chosen
        or state.name in numbers.series
        or state.name in moves
    ]
    return Report(
        database.label,
        period,
        prompts,
        sections,
        states.recent,
        states.recent_moves,
        numbers.findings,
        unpriced,
        not unpriced or prices.are_installed(),
        chosen is None,
    )


class _Compared(Record):
    """The uses around the last 24 hours: by day of `report_periods.for_comparison`, None if that is the period itself.

    `hours` are those of `report_numbers.recent_cells`.
    """

    days: CellUsage | None
    hours: CellUsage


def _read_rows(
    database: Database, names: Sequence[str] | None, period: ReportPeriod, rolled_below: int
) -> tuple[ReportStates, CellUsage, _Compared, list[tuple[str, int]]]:
    """Return states, cells, those around the last 24 hours, and calls with fallbacks, of one snapshot."""
    selection = Selection(names, period.begin, period.end, period.cell)
    compared = report_periods.for_comparison(period)
    recent = report_numbers.recent_cells(compared)
    around = [] if recent is None else [Selection(names, *recent, report_periods.HOUR)]
    if compared != period:
        around.append(Selection(names, compared.begin, compared.end, compared.cell))
    end = None if period.is_running else period.end
    while True:
        statements: list[Statement] = [
            report_usage.clock(),
            *report_states.statements(names, period.begin, end, period.recent_begin, period.recent_end),
            report_usage.fallbacks(selection),
            *report_usage.statements(selection, rolled_below),
        ]
        for one in around:
            statements += report_usage.statements(one, rolled_below)
        answers = database.run_all(*report_usage.BEGIN, *statements, report_usage.COMMIT)[len(report_usage.BEGIN) :]
        # After a roll-up, the watermark is another one, and the sums are of neither.
        [(_, watermark)] = answers[0]
        if watermark == rolled_below:
            break
        rolled_below = watermark
    hours = report_usage.parse(*answers[8:10]) if recent is not None else CellUsage([], [])
    days = report_usage.parse(*answers[10:12]) if compared != period else None
    fallbacks = [(name, calls) for name, calls in answers[5]]
    return report_states.parse(*answers[1:5]), report_usage.parse(*answers[6:8]), _Compared(days, hours), fallbacks


def _numbers(period: ReportPeriod, usage: CellUsage, compared: _Compared) -> tuple[ReportNumbers, list[str]]:
    """Return the numbers of a report, and the models without a price."""
    around = report_periods.for_comparison(period)
    days = compared.days or usage
    models = {cell.model for cell in (*usage.sums, *days.sums) if cell.with_tokens and cell.model is not None}
    price, unpriced = _price(period, models)
    hours = compared.hours.sums, compared.hours.histograms
    numbers = report_numbers.numbers(period, usage.sums, usage.histograms, hours, price)
    if compared.days is not None:
        # Models that only the time before the period used are of no interest.
        other_price, _ = _price(around, models)
        findings = report_numbers.numbers(around, days.sums, days.histograms, hours, other_price).findings
        numbers = ReportNumbers(numbers.series, findings)
    return numbers, sorted(unpriced)


def _price(period: ReportPeriod, models: Collection[str]) -> tuple[TokenPrice, set[str]]:
    """Return the function from a model, a price tier and a place to the prices then, and the models without a price."""
    unpriced: set[str] = set()
    if not models or not prices.are_installed():
        return _no_price, set(models)
    days = prices.price_days(models, report_periods.timestamp(period.end))
    changes = [report_periods.seconds(f"{day}T00:00:00Z") for day in days]
    prices_by_key: dict[tuple[str, int, int], Mapping[str, float] | None] = {}

    def price(model: str, tier: int, place: int) -> Mapping[str, float] | None:
        moment = period.begin + place * period.cell
        # The number of changes so far.
        key = (model, tier, sum(change <= moment for change in changes))
        if key not in prices_by_key:
            prices_by_key[key] = prices.per_token(model, tier, report_periods.timestamp(moment))
            if prices_by_key[key] is None:
                unpriced.add(model)
        return prices_by_key[key]

    return price, unpriced


def _no_price(*_: object) -> None:
    """Stand for the function that knows prices where there are none."""


def _by_name(states: ReportStates) -> tuple[dict[str, list[ReportMove]], dict[str, list[OlderMoves]]]:
    moves: dict[str, list[ReportMove]] = {}
    older: dict[str, list[OlderMoves]] = {}
    for move in states.moves:
        moves.setdefault(move.name, []).append(move)
    for one in states.older:
        older.setdefault(one.name, []).append(one)
    return moves, older


def _busiest(states: ReportStates, numbers: ReportNumbers, moves: Mapping[str, Sequence[ReportMove]]) -> list[str]:
    """Return the names of the prompts that get a section: with uses or moves, the most used, in the order of names."""
    names = [state.name for state in states.states if state.name in numbers.series or state.name in moves]
    uses = {name: numbers.series[name].whole.uses if name in numbers.series else 0 for name in names}
    names.sort(key=lambda name: (-uses[name], name))
    return sorted(names[:MOST_SECTIONS])


class _Extras:
    """What a section has beside numbers and moves: an open rollout or a comparison, and the last test."""

    def __init__(self, database: Database, names: Sequence[str], split: Collection[str], period: ReportPeriod) -> None:
        from promptctl.store import rollouts, test_runs

        self._database = database
        # Of a period in the past, neither the state of a rollout nor that of a comparison is kept.
        self._split = split if period.is_running else ()
        self._rollouts: dict[str, Rollout] = (
            {rollout.name: rollout for rollout in rollouts.read_open(database)} if period.is_running else {}
        )
        begin, end = report_periods.timestamp(period.begin), report_periods.timestamp(period.end)
        ended = rollouts.read_ended(database, names, begin, end) if names else []
        self._ended = {rollout.name: rollout for rollout in ended}
        runs = test_runs.read_last_runs(database, names, end) if names else []
        self._runs = {run.name: run for run in runs}
        self._names = set(names)

    def rollout(self, name: str) -> tuple[Rollout, Tick] | None:
        """Return the open rollout of a prompt with what a tick would do; None without one."""
        rollout = self._rollouts.get(name) if name in self._names else None
        if rollout is None:
            return None
        from promptctl.store import rollouts

        return rollout, rollouts.explain(self._database, name)

    def ended_rollout(self, name: str) -> Rollout | None:
        """Return the last rollout of a prompt that ended in the period; None without one, and while one is open."""
        return None if name in self._rollouts else self._ended.get(name)

    def comparison(self, name: str) -> Comparison | None:
        """Return the comparison of the split of a prompt that is not a rollout; None without one."""
        if name not in self._split or name not in self._names or name in self._rollouts:
            return None
        from promptctl.cli import comparing

        return comparing.of_running_split(self._database, name)

    def test(self, name: str) -> tuple[Tested, str | None] | None:
        """Return the last run of test cases with a verdict, and when it ended; None without one."""
        run = self._runs.get(name)
        if run is None:
            return None
        from promptctl.evaluation import stored_results
        from promptctl.output.test_words import Tested

        result, _ = stored_results.read(self._database, run, with_replies=False)
        title = result.subject.label if run.version is not None else f"{name} (a text that is not stored)"
        return Tested(title, result), run.ended_at
