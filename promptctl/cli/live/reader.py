"""The thread that reads the database for a live screen: at each notification, and every two seconds.

It never ends because of the database. While the database is lost it connects again, with longer and longer pauses, and
the screen keeps what was read last.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import TYPE_CHECKING, Any

from promptctl import errors, threads
from promptctl.claude import prices
from promptctl.output.live_cells import Detail
from promptctl.postgres import connecting, waiting
from promptctl.records import Record
from promptctl.rules import prompt_lines
from promptctl.rules import use_window as rules
from promptctl.store import recent_uses as store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from promptctl.postgres.database import Database
    from promptctl.postgres.settings import Target
    from promptctl.rules.prompt_lines import PromptLine, ServedPrompt
    from promptctl.rules.use_window import Tally
    from promptctl.store.recent_uses import Look, Move, Position

POLL_SECONDS = 2.0
# Many moves at once are read together.
_LEAST_SECONDS_BETWEEN_READS = 0.1
_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 30.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0
# A standby refuses to listen, and writes that into its log.
_SECONDS_BETWEEN_ATTEMPTS_TO_LISTEN = 60.0
_MOVES = 10
_CANNOT_LISTEN = "25006"


class Reading(Record):
    """What was read last. It is replaced as a whole.

    `read_at` is `time.monotonic()` of the last answer of the database. `lost_at` is None while the database answers,
    else when it was lost (`time.time()`), and `problem` says why. `hint` is a command that helps, or "".
    `cost_state` is `known`, `loading`, or `missing` if no prices are installed.
    """

    label: str
    lines: Sequence[PromptLine]
    detail: Detail | None
    read_at: float
    lost_at: float | None
    problem: str
    hint: str
    cost_state: str


class Reader:
    """Reads in a thread. `reading` is what it has read; `on_change` is called in the thread after each change of it."""

    def __init__(
        self, target: Target, names: Sequence[str], minutes: int, label: str, on_change: Callable[[], None]
    ) -> None:
        self._target, self._names, self._minutes = target, names, minutes
        self._on_change = on_change
        self.reading = Reading(label, [], None, time.monotonic(), None, "", "", "loading")
        # A bug in the thread, for the main thread to raise.
        self.bug: Exception | None = None
        self.is_loaded = False
        self._opened: str | None = None
        self._prices: dict[tuple[str, int], Mapping[str, float] | None] = {}
        self._prices_day = 0
        self._cost_state = "loading"
        self._wake_reader, self._wake_writer = os.pipe()
        for descriptor in (self._wake_reader, self._wake_writer):
            os.set_blocking(descriptor, False)

    def start(self) -> None:
        """Start the thread. It ends with the process. Raises Failed (`no_thread`)."""
        if not threads.start(self._run):
            raise errors.Failed(
                "no_thread", "the system allows no further thread, which top reads in", hint="promptctl top --once"
            )

    def open(self, name: str | None) -> None:
        """Read the moves of a prompt too; None: of none."""
        if name != self._opened:
            self._opened = name
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_writer, b"\0")

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        try:
            while True:
                try:
                    with contextlib.closing(self._connect()) as database:
                        self._follow(database)
                except errors.PromptctlError as failure:
                    if self.reading.lost_at is None:
                        pause = _FIRST_PAUSE_SECONDS
                    self._mark_lost(failure)
                self._sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - not a secret
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        except Exception as bug:  # noqa: BLE001 - the main thread raises it
            self.bug = bug
            self._on_change()

    def _connect(self) -> Database:
        return connecting.connect_application(
            self._target, connect_timeout_seconds=_CONNECT_SECONDS, timeout_seconds=_ANSWER_SECONDS
        )

    def _follow(self, database: Database) -> None:
        """Read until the connection fails, or until the schema has another version: a new connection checks it."""
        # Listen before reading, so that a move between the two is notified.
        is_listening, tried_at = _listen(database), time.monotonic()
        followed = _Followed(database, self._names, self._minutes)
        while True:
            began = time.monotonic()
            if not is_listening and began - tried_at > _SECONDS_BETWEEN_ATTEMPTS_TO_LISTEN:
                is_listening, tried_at = _listen(database), began
            if not followed.read(self._opened):
                return
            self._publish(followed, database.label)
            self._wait(database, began)

    def _wait(self, database: Database, began: float) -> None:
        """Wait for a notification, for `open`, or for the next poll."""
        poll_at = began + POLL_SECONDS
        payloads, is_woken = database.notifications(max(0.0, poll_at - time.monotonic()), self._wake_reader)
        if is_woken:
            self._drain()
        elif payloads and (left := began + _LEAST_SECONDS_BETWEEN_READS - time.monotonic()) > 0:
            time.sleep(left)
            database.notifications(0, self._wake_reader)

    def _publish(self, followed: _Followed, label: str) -> None:
        if self._cost_state == "loading" and followed.has_tokens:
            if not self.is_loaded:
                # Show the first lines before the prices are loaded, which takes a while.
                self._set(followed, label)
            self._cost_state = "known" if prices.are_installed() else "missing"
        self._set(followed, label)

    def _set(self, followed: _Followed, label: str) -> None:
        before = self.reading
        now = time.monotonic()
        is_unchanged = (
            not followed.is_changed
            and before.lost_at is None
            and self.is_loaded
            and before.cost_state == self._cost_state
            and now - before.read_at < 2 * POLL_SECONDS
        )
        if is_unchanged:
            self.reading = _changed(before, read_at=now)
            return
        lines = prompt_lines.lines(followed.prompts, followed.by_prompt, self._price, followed.seconds)
        detail = followed.detail(self._price)
        self.reading = Reading(label, lines, detail, now, None, "", "", self._cost_state)
        self.is_loaded = True
        self._on_change()

    def _price(self, model: str, tier: int) -> Mapping[str, float] | None:
        if self._cost_state != "known":
            return None
        day = int(time.time() // 86400)
        if day != self._prices_day:
            self._prices, self._prices_day = {}, day
        if (model, tier) not in self._prices:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._prices[model, tier] = prices.per_token(model, tier, now)
        return self._prices[model, tier]

    def _mark_lost(self, failure: errors.PromptctlError) -> None:
        # Drop the part after the semicolon: it is about whether a change was made, and this thread only reads.
        problem = failure.message.partition(";")[0] if failure.code == "connection_lost" else failure.message
        before = self.reading
        lost_at = time.time() if before.lost_at is None else before.lost_at
        self.reading = _changed(before, lost_at=lost_at, problem=problem, hint=failure.hint or "")
        self._on_change()

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if waiting.ready([self._wake_reader], left):
                self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)


class _Followed:
    """What one connection has read."""

    def __init__(self, database: Database, names: Sequence[str], minutes: int) -> None:
        self._database, self._names, self._minutes = database, names, minutes
        self._window = rules.Window(minutes * 60 / rules.SLOTS)
        self._position: Position | None = None
        self._look: Look | None = None
        # The server's clock minus this machine's, in seconds.
        self._clock_offset = 0.0
        self._by_version: dict[tuple[str, int], Tally] = {}
        self._opened: str | None = None
        self._moves: tuple[Sequence[Move], Sequence[int]] = ([], [])
        self.by_prompt: dict[str, Tally] = {}
        self.prompts: Sequence[ServedPrompt] = []
        self.is_changed = False

    @property
    def has_tokens(self) -> bool:
        """Whether a use has reported tokens, so that prices are needed."""
        return any(tally.with_tokens for tally in self.by_prompt.values())

    @property
    def seconds(self) -> float:
        """The seconds that the window covers: the slots that are over, and the passed part of the newest one."""
        slot = self._window.slot_seconds
        return (rules.SLOTS - 1) * slot + max(self._now() % slot, 1.0)

    def read(self, opened: str | None) -> bool:
        """Read what is new, and return True. Return False if the schema now has another version."""
        before, look = self._look, store.look(self._database)
        if before is not None and look.schema_version != before.schema_version:
            return False
        self._look = look
        is_moved = before is None or look.served != before.served
        has_uses = before is None or not before.begun == before.ended == look.begun
        if is_moved:
            self.prompts = store.read_prompts(self._database, self._names)
        if has_uses:
            uses = store.read_uses(
                self._database, self._names, self._minutes, self._window.slot_seconds, self._position
            )  # fmt: skip
            self._position, self._clock_offset = uses.position, uses.now - time.time()
            self._window.add(uses.rows, uses.now)
            has_uses = before is None or bool(uses.rows)
        is_shorter = self._window.expire(self._now())
        if has_uses or is_shorter:
            self._by_version = self._window.by_version()
            self.by_prompt = rules.by_prompt(self._by_version)
        is_opened = opened != self._opened
        if opened is not None and (is_opened or is_moved):
            self._moves = store.read_moves(self._database, opened, _MOVES)
        self._opened = opened
        self.is_changed = is_moved or has_uses or is_shorter or is_opened
        return True

    def detail(self, price: rules.Prices) -> Detail | None:
        """Return the prompt that is opened, None if none is."""
        name = self._opened
        if name is None:
            return None
        by_version = {version: tally for (used, version), tally in self._by_version.items() if used == name}
        costs: dict[int, float | None] = {}
        for version, tally in by_version.items():
            cost = tally.cost_usd(price)
            costs[version] = None if cost is None else cost / self.seconds * 3600
        total = self.by_prompt.get(name) or rules.Tally()
        moves, versions = self._moves
        uses_course, errors_course = self._window.course(name)
        return Detail(name, moves, versions, by_version, costs, total, uses_course, errors_course)

    def _now(self) -> float:
        return time.time() + self._clock_offset


def _changed(reading: Reading, **fields: Any) -> Reading:
    """Return a reading with other values of some fields."""
    return Reading(**(reading.as_dict() | fields))


def _listen(database: Database) -> bool:
    """Listen for moves, and return False on a standby.

    Unlike a client, a screen does not announce its version of the schema: a migration need not wait for a screen.
    """
    try:
        database.run_unchecked("listen promptctl")
    except errors.PromptctlError as failure:
        if failure.sqlstate != _CANNOT_LISTEN:
            raise
        return False
    return True
