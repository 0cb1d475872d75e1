"""promptctl top."""

from __future__ import annotations

import os
import sys

from promptctl import errors
from promptctl.output import messages, stream
from promptctl.output import top_view as output
from promptctl.rules import prompt_lines, references
from promptctl.store import recent_uses as store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database
    from promptctl.rules.prompt_lines import PromptLine, ServedPrompt
    from promptctl.rules.use_window import Prices

_DEFAULT_MINUTES = 5


def top(
    run: Run,
    names: list[str] | None = None,
    minutes: int | None = None,
    sort: str | None = None,
    once: bool = False,
    cost: bool = False,
) -> None:
    """Show prompts live, with their uses and errors of the last minutes.

    The screen shows a move at once, and new uses within two seconds. Press ? for
    the keys, and q to quit. If the database is lost, the screen says since when and
    how old its data are, and connects again.

    P95 is the 95th percentile of the time of successful uses. COST/H is the cost
    per hour at the rate of these minutes. MOVED is the age of the last move.

    --once prints the table and ends, for scripts. It has the costs only with
    --cost, because loading the prices takes longer than all the rest.

    Examples:
      promptctl top
      promptctl top default-system-prompt support/triage --minutes 15
      promptctl top --once --sort errors
      promptctl top --once --cost --json
    """
    for name in names or []:
        references.check_name(name)
    selected = list(dict.fromkeys(names or []))
    if minutes is None:
        minutes = _DEFAULT_MINUTES
    else:
        from promptctl.cli import numbers

        numbers.check("--minutes", minutes)
    if sort is not None and sort not in prompt_lines.SORT_KEYS:
        problem = f"--sort is one of {', '.join(prompt_lines.SORT_KEYS)}, not {references.quoted(sort)}"
        raise errors.Usage("usage", problem)
    if once:
        if sort == "cost" and not cost:
            raise errors.Usage("usage", "--sort cost needs --cost", hint="promptctl top --once --cost --sort cost")
        _show_once(run, selected, minutes, sort or "uses", with_cost=cost)
        return
    _check_terminal(run)
    with run.database() as database:
        # The screen stays, whatever happens to the database. Here, an unknown name and a missing schema are errors.
        prompts = store.read_prompts(database, selected)
        _require(database, selected, prompts)
        label = database.label
    from promptctl.cli.live import screen
    from promptctl.postgres import settings

    screen.run(settings.target(run.database_url), selected, minutes, sort or "uses", label)


def _check_terminal(run: Run) -> None:
    """Raise Usage unless a person can look at a screen and type."""
    option = " --format markdown" if stream.is_markdown() else "" if run.form == "plain" else f" --{run.form}"
    hint = f"promptctl top --once{option}"
    if sys.platform == "win32":
        raise errors.Usage("no_terminal", "top has no screen on Windows", hint=hint)
    has_output = stream.is_terminal(sys.stdout)
    if not has_output or not stream.is_terminal(sys.stdin):
        stream_name = "input" if has_output else "output"
        raise errors.Usage("no_terminal", f"top needs a terminal, and standard {stream_name} is not one", hint=hint)
    if not stream.supports_escapes(sys.stdout):
        problem = "TERM is dumb" if os.environ.get("TERM") else "TERM is not set"
        raise errors.Usage("no_terminal", f"top needs a terminal that can move the cursor: {problem}", hint=hint)
    if option:
        raise errors.Usage("usage", f"{option.strip()} needs --once", hint=hint)


def _show_once(run: Run, names: Sequence[str], minutes: int, sort: str, *, with_cost: bool) -> None:
    with run.database() as database:
        prompts, counts, tokens = store.read_counts(database, names, minutes, with_tokens=with_cost)
        _require(database, names, prompts)
    price = _prices(run) if any(row.with_tokens for row in tokens) else _no_price
    lines: list[PromptLine] = prompt_lines.ordered(
        prompt_lines.lines_of_counts(prompts, counts, tokens, price, minutes * 60), sort
    )
    output.show(lines, minutes, run.form, with_cost=with_cost)
    if not lines and stream.for_people() and run.form == "plain":
        messages.note(f"no prompt in {database.label} yet")


def _require(database: Database, names: Sequence[str], prompts: Sequence[ServedPrompt]) -> None:
    """Raise NotFound for the first name without a prompt."""
    present = {prompt.name for prompt in prompts}
    for name in names:
        if name not in present:
            from promptctl.store import prompt_states

            prompt_states.require_prompt(database, name)


def _prices(run: Run) -> Prices:
    """Return the present prices. Without the package that has them, print a note, and no price is known."""
    from promptctl.claude import prices

    if not prices.are_installed():
        from promptctl import requirements

        run.note(f"{requirements.NO_PRICES}: {requirements.install_extra('chat')}")
        return _no_price
    import time

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return lambda model, tier: prices.per_token(model, tier, now)


def _no_price(*_: object) -> None:
    """Stand for the prices where there are none."""
