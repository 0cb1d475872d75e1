"""promptctl report."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import report_view as output
from promptctl.rules import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run

_DEFAULT_SINCE = "30d"


def report(
    run: Run,
    names: list[str] | None = None,
    html: str | None = None,
    since: str | None = None,
    until: str | None = None,
    open: bool = False,
) -> None:
    """Write a page that shows what was active when, and how it did.

    The page shows for each prompt which version was active over time, and uses,
    errors, response times, tokens, cost and score, with a mark at every move. It
    begins with what changed and what got worse in the last 24 hours. It is one
    file without scripts that loads nothing. A step of a curve is an hour up to 4
    days, a day up to 120 days, and else a week, in UTC.

    Examples:
      promptctl report --html report.html
      promptctl report default-system-prompt --since 7d --html report.html --open
      promptctl report --since 2026-10-01 --until 2026-11-01 --html october.html
    """
    if html is None or not html:
        raise errors.Usage("usage", "report needs --html FILE", hint="promptctl report --html report.html")
    if open and html == "-":
        raise errors.Usage("usage", "--open needs the name of a file, not -")
    for name in names or ():
        if "@" in name:
            bare = name.partition("@")[0]
            raise errors.Usage("usage", f"report needs a name without a version: {bare}")
        references.check_name(name)
    from promptctl.cli import html_files, report_reading, time_values
    from promptctl.output import report_page

    first = time_values.parse(since or _DEFAULT_SINCE)
    last = None if until is None else time_values.parse(until)
    if html != "-":
        html_files.check(html)
    with run.database() as database:
        result = report_reading.read(database, names or [], first, last)
    page = report_page.text(result)
    if html == "-":
        output.write_page(page)
        return
    html_files.write(html, page)
    output.show(html, page, result, run.form)
    if open:
        html_files.open_in_browser(html)
