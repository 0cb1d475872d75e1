"""The period of a report, and the steps that its curves have. Pure.

Times are whole seconds since 1970, and everything is in UTC. A period begins and ends at the beginning of an hour or a
day, so that the sums of whole hours and days are all that a report needs, and the same data give the same report.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from promptctl import errors
from promptctl.records import Record
from promptctl.rules import ages, references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.records import Timestamp

HOUR, DAY, WEEK = 3600, 86_400, 604_800
# The longest periods with a step of an hour and of a day. 400 weeks are drawn as clearly as 120 days.
_MOST_HOURS, _MOST_DAYS, _MOST_WEEKS = 4 * DAY, 120 * DAY, 400 * WEEK
# The first Monday after the first day, which was a Thursday.
_MONDAY = 4 * DAY
_FIRST = datetime(1970, 1, 1, tzinfo=timezone.utc)


class ReportPeriod(Record):
    """A period from `begin` to `end`, in steps of `step` seconds: an hour, a day or a week.

    `cell` is the length of the sums that are read: an hour or a day. `recent_begin` is 24 hours before `recent_end`,
    which is the end of the period or, if the period has not ended, of the hour at which the report was made.
    """

    begin: int
    end: int
    step: int
    cell: int
    recent_begin: int
    recent_end: int
    is_running: bool

    @property
    def steps(self) -> int:
        """The number of steps."""
        return (self.end - self.begin) // self.step

    @property
    def step_name(self) -> str:
        """The step in a word: hour, day or week."""
        return {HOUR: "hour", DAY: "day", WEEK: "week"}[self.step]


def choose(now: Timestamp, since: str, until: str | None) -> ReportPeriod:
    """Return the period from `since` to `until`, None for a period that ends now.

    Each is RFC 3339, or an age such as `-30d`: that of `since` is before the end, that of `until` before `now`. Both
    are extended to whole steps; a week begins on Monday. Raises Usage (`invalid_time`) for a period that is empty, or
    longer than 400 weeks.
    """
    present = seconds(now)
    limit = present if until is None else min(_before(until, present), present)
    age = _age(since)
    length = limit - seconds(since) if age is None else age
    if length <= 0:
        raise errors.Usage("invalid_time", f"the report ends before it begins: --since {since.removeprefix('-')}")
    if length > _MOST_WEEKS:
        raise errors.Usage("invalid_time", "a report covers at most 400 weeks", hint="promptctl report --since 90d ...")
    step = HOUR if length <= _MOST_HOURS else DAY if length <= _MOST_DAYS else WEEK
    cell = min(step, DAY)
    # The running hour or day is part of the period, and so is the one in which a period of the past ends.
    end = (limit // cell + 1) * cell if limit == present else -(-limit // cell) * cell
    begin = seconds(since) // cell * cell if age is None else end - -(-age // cell) * cell
    if step == WEEK:
        begin, end = (begin - _MONDAY) // WEEK * WEEK + _MONDAY, -(-(end - _MONDAY) // WEEK) * WEEK + _MONDAY
    recent_end = min(end, (present // HOUR + 1) * HOUR)
    return ReportPeriod(begin, end, step, cell, recent_end - DAY, recent_end, end > present)


def for_comparison(period: ReportPeriod) -> ReportPeriod:
    """Return the period whose last 24 hours are compared with the time before: itself, or a week and a day.

    A period of less than two days has less than a day before its last 24 hours.
    """
    if period.recent_begin - period.begin >= DAY:
        return period
    begin, end = period.recent_begin // DAY * DAY - WEEK, -(-period.recent_end // DAY) * DAY
    return ReportPeriod(begin, end, DAY, DAY, period.recent_begin, period.recent_end, period.is_running)


def seconds(time: Timestamp) -> int:
    """Return a time as seconds since 1970, rounded down."""
    return (datetime.fromisoformat(time) - _FIRST) // timedelta(seconds=1)


def timestamp(moment: int) -> Timestamp:
    """Return seconds since 1970 as RFC 3339. Raises Usage (`invalid_time`) before the year 1."""
    try:
        return (_FIRST + timedelta(seconds=moment)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise errors.Usage("invalid_time", f"{references.quoted(str(moment))} is out of range") from None


def _age(text: str) -> int | None:
    """Return the seconds of an age such as `-30d`, None for a time."""
    return ages.seconds_or_none(text[1:]) if text.startswith("-") else None


def _before(text: str, present: int) -> int:
    age = _age(text)
    return seconds(text) if age is None else present - age
