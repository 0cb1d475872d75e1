"""Present runs of tests: the cases that changed, totals and the verdict. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import case_view, messages, stream, tables, test_models_view, test_words
from promptctl.output.table_columns import Column
from promptctl.output.text_width import columns_of, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from promptctl.evaluation.results import CaseResult, Estimate, Reply
    from promptctl.output.table_columns import Value
    from promptctl.output.test_words import Tested
    from promptctl.store.test_runs import RunRecord


def show(tests: Sequence[Tested], form: str, *, all_cases: bool = False) -> None:
    """Show runs. A terminal gets the cases that changed, or with `all_cases` all of them; a pipe a row for each."""
    if form == "json":
        stream.write_json({"runs": [document(tested) for tested in tests]})
    elif form == "quiet":
        stream.write("".join(f"{tested.title}\n" for tested in tests))
    elif not stream.to_terminal():
        stream.write("".join(_tsv_lines(tests)))
        has_models = len(test_words.groups(tests)) < len(tests)
        for tested in tests:
            model = f", {tested.result.models.requested}" if has_models else ""
            for sentence in (*tested.result.notes, test_words.verdict(tested.result)):
                messages.note(f"{test_words.heading(tested)}{model}: {sentence}")
    else:
        groups = test_words.groups(tests)
        for place, group in enumerate(groups):
            stream.write("\n" * (place > 0))
            if len(group) == 1:
                _show_run(group[0], all_cases=all_cases)
            else:
                test_models_view.show(group, all_cases=all_cases)
        if len(tests) > 1:
            stream.write("\n")
            columns = [
                Column("VERSION", "name"), Column("MODEL", "text"), Column("VERDICT", "text"),
                Column("PASS RATE", "number"), Column("90% INTERVAL", "extra"), Column("COST", "money"),
            ]  # fmt: skip
            rows = test_words.summary_rows(tests)
            if len(groups) == 1:
                columns, rows = columns[1:], [row[1:] for row in rows]
            tables.show(columns, rows)


def show_runs(runs: Sequence[RunRecord], form: str) -> None:
    """Show stored runs, newest first. `test list` calls this."""
    if form == "json":
        stream.write_json({"runs": [_run_document(run) for run in runs]})
        return
    if form == "quiet":
        stream.write("".join(f"{run.run}\n" for run in runs))
        return
    columns = [
        Column("RUN", "number"), Column("VERSION", "name"), Column("AGAINST", "name"), Column("VERDICT", "text"),
        Column("CASES", "number"), Column("COST", "money"), Column("WHO", "person"), Column("WHEN", "time"),
        Column("MODEL", "detail"),
    ]  # fmt: skip
    rows: list[list[Value]] = [
        [
            run.run, _reference(run.name, run.version), _against(run), state(run), run.cases, run.cost, run.author,
            run.began_at, run.requested_model,
        ]
        for run in runs
    ]  # fmt: skip
    tables.show(columns, rows)


def show_estimate(title: str, estimate: Estimate, form: str) -> None:
    """Show what a run would take, in the forms plain and quiet."""
    if not stream.to_terminal() or form == "quiet":
        fields = [
            title, estimate.calls, estimate.judge_calls, estimate.kept_replies, estimate.input_tokens,
            estimate.output_tokens, estimate.cost, estimate.most_calls + estimate.most_judge_calls, estimate.most_cost,
        ]  # fmt: skip
        stream.write("\t".join(_field(field) for field in fields) + "\n")
    else:
        calls = test_words.counted(estimate.calls, "call")
        if estimate.judge_calls:
            calls += f" and {test_words.counted(estimate.judge_calls, 'call')} of judges"
        if estimate.kept_replies:
            calls += f", {test_words.counted(estimate.kept_replies, 'kept reply')}"
        stream.write(f"{stream.styled(stream.one_line(title), stream.BOLD)}\n  {calls}\n")
        least = "" if estimate.is_output_known else "at most "
        stream.write(
            f"  {estimate.input_tokens:,} input and {least}{estimate.output_tokens:,} output tokens: "
            f"{least}{test_words.money(estimate.cost)}\n"
        )
        most = estimate.most_calls + estimate.most_judge_calls
        stream.write(f"  at most {test_words.counted(most, 'call')}: {test_words.money(estimate.most_cost)}\n")
    if estimate.unpriced_models:
        messages.warning(f"the price of {' and '.join(estimate.unpriced_models)} is not known")


def state(run: RunRecord) -> str:
    """Return the verdict of a stored run, or how it ended without one."""
    if run.verdict is not None:
        return "baseline" if _is_kept(run) else run.verdict
    if run.failure is not None:
        return f"failed: {run.failure}"
    return "not ended"


def _is_kept(run: RunRecord) -> bool:
    return run.against_name is None and run.verdict == "undecided"


def document(tested: Tested) -> dict[str, Any]:
    """Return a run as JSON. docs/json.md documents the keys."""
    result = tested.result
    against, verdict = result.against, result.verdict
    is_kept = test_words.verdict_word(result) == test_words.KEPT
    return {
        "run": int(result.id) if result.id else None,
        "title": tested.title,
        "name": result.subject.name,
        "version": result.subject.version,
        "against_name": None if against is None else against.name,
        "against_version": None if against is None else against.version,
        "model": result.models.requested,
        "returned_models": list(result.models.returned),
        "verdict": None if is_kept else verdict.word,
        "reason": test_words.reason(result),
        "change": verdict.change,
        "lower": None if verdict.interval is None else verdict.interval[0],
        "upper": None if verdict.interval is None else verdict.interval[1],
        "p": verdict.p_overall,
        "margin": result.margin,
        "needed_cases": verdict.needed_cases,
        "needed_repeats": verdict.needed_repeats,
        "calls": result.new_calls,
        "kept_replies": result.kept_replies,
        "judge": result.judge or None,
        "judge_calls": result.judge_calls,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "cost_usd": None if result.cost is None else round(result.cost, 6),
        "started_at": result.started_at,
        "seconds": round(result.seconds, 3),
        "is_stale": result.is_stale,
        "notes": list(result.notes),
        "cases": [_case_document(case) for case in result.cases],
    }


def estimate_document(title: str, estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    return {
        "title": title,
        "calls": estimate.calls,
        "judge_calls": estimate.judge_calls,
        "kept_replies": estimate.kept_replies,
        "most_calls": estimate.most_calls,
        "most_judge_calls": estimate.most_judge_calls,
        "input_tokens": estimate.input_tokens,
        "output_tokens": estimate.output_tokens,
        "is_output_known": estimate.is_output_known,
        "cost_usd": None if estimate.cost is None else round(estimate.cost, 6),
        "most_cost_usd": None if estimate.most_cost is None else round(estimate.most_cost, 6),
        "unpriced_models": list(estimate.unpriced_models),
    }


def _show_run(tested: Tested, *, all_cases: bool) -> None:
    result = tested.result
    stream.write(stream.styled(stream.one_line(test_words.heading(tested)), stream.BOLD) + "\n")
    stream.write(stream.styled(f"model {stream.one_line(test_words.model(result))}", stream.DIM) + "\n")
    changed = [case for case in result.cases if test_words.is_listed(result, case)]
    listed = list(result.cases) if all_cases else changed
    if listed and result.id:
        stream.write("\n")
        _show_cases(listed, has_baseline=result.against is not None)
        stream.write("\n")
    counts = test_words.case_counts(result, len(changed))
    if not all_cases and result.id and len(changed) < len(result.cases):
        counts += " (--all lists them)"
    for note in result.notes:
        case_view.write_wrapped(note)
    case_view.write_wrapped(counts)
    if result.id:
        case_view.write_wrapped(test_words.pass_rates(result))
        if change := test_words.change(result):
            case_view.write_wrapped(change)
    case_view.write_wrapped(test_words.effort(result))
    word = test_words.verdict_word(result)
    rest = test_words.verdict(result)[len(word) :]
    lines = case_view.wrapped(word + rest, stream.width())
    lines[0] = stream.styled(word, f"1;{test_words.COLORS[word]}") + lines[0][len(word) :]
    stream.write("".join(f"{line}\n" for line in lines))
    if step := test_words.next_step(tested):
        stream.write(f"{stream.styled('next:', stream.CYAN)} {stream.one_line(step)}\n")


def _show_cases(cases: Sequence[CaseResult], *, has_baseline: bool) -> None:
    """Write a line for each case, with the checks that fail and the words that differ below it."""
    rows = [
        (
            stream.one_line(case.case.title),
            test_words.share(case.baseline_passes, case.baseline_replies) if has_baseline else "",
            test_words.share(case.new_passes, case.new_replies),
            test_words.outcome(case),
        )
        for case in cases
    ]
    heads = ("CASE", "BASELINE" if has_baseline else "", "NEW", "RESULT")
    widths = [max(columns_of(row[place]) for row in [heads, *rows]) for place in range(4)]
    others = widths[1] + widths[2] + widths[3] + 6
    widths[0] = max(10, min(widths[0], stream.width() - others))
    stream.write(stream.styled(_row(heads, widths), stream.DIM) + "\n")
    for case, row in zip(cases, rows, strict=True):
        line = _row(row, widths)
        color = test_words.COLORS.get(row[3])
        stream.write((stream.styled(line, color) if color else line) + "\n")
        case_view.show(case, "  ")


def _row(texts: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers, result = [cut(text, width) for text, width in zip(texts, widths, strict=True)]
    cells = [name + " " * (widths[0] - columns_of(name))]
    cells += [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=False) if width]
    return "  ".join([*cells, result]).rstrip()


def _tsv_lines(tests: Sequence[Tested]) -> Iterator[str]:
    for tested in tests:
        result = tested.result
        for case in result.cases:
            fields = [
                tested.title, None if result.against is None else result.against.label, result.models.requested,
                case.case.title, case.baseline_passes, case.baseline_replies, case.new_passes, case.new_replies,
                case.errors, test_words.outcome(case), case.p,
            ]  # fmt: skip
            yield "\t".join(_field(field) for field in fields) + "\n"


def _field(value: str | float | None) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else stream.tsv_field(str(value))


def _case_document(case: CaseResult) -> dict[str, Any]:
    return {
        "title": case.case.title,
        "sha256": case.case.hash,
        "group": case.case.group,
        "is_critical": case.case.is_critical,
        "baseline_passes": case.baseline_passes,
        "baseline_replies": case.baseline_replies,
        "new_passes": case.new_passes,
        "new_replies": case.new_replies,
        "errors": case.errors,
        "is_changed": case.is_changed,
        "verdict": case.verdict,
        "p": case.p,
        "failed": [
            {"check": check.label, "reason": test_words.storable(check.reason), "times": check.times}
            for check in case.failed_checks
        ],
        "baseline_reply": _full_text(case.example_baseline),
        "new_reply": _full_text(case.example_new),
    }


def _full_text(reply: Reply | None) -> str | None:
    return None if reply is None else test_words.reply_text(reply)


def _run_document(run: RunRecord) -> dict[str, Any]:
    fields = ("verdict", "failure", "change", "lower", "upper", "p", "cases", "judge", "margin", "author", "began_at")
    return {
        "run": run.run,
        "name": run.name,
        "version": run.version,
        "against_name": run.against_name,
        "against_version": run.against_version,
        "model": run.requested_model,
        **{field: getattr(run, field) for field in fields},
        **({"verdict": None} if _is_kept(run) else {}),
        "ended_at": run.ended_at,
        "cost_usd": run.cost,
    }


def _reference(name: str | None, version: int | None) -> str:
    return f"{name or ''}@{version}" if version is not None else name or ""


def _against(run: RunRecord) -> str:
    return _reference(run.against_name, run.against_version)
