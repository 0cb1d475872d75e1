"""One invocation: the settings that every command shares, and what follows from them."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.folder import git
from promptctl.output import messages, stream
from promptctl.postgres import connecting
from promptctl.rules import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from promptctl.postgres.database import Database

_ON_A_TERMINAL = 20
_SHORTEST_SECRET = 20


class Run:
    """The shared options of one invocation, its connection once there is one, and its author."""

    def __init__(
        self,
        *,
        database_url: str | None = None,
        json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        log_format: str | None = None,
        color: str | None = None,
        no_pager: bool = False,
    ) -> None:
        if color is not None:
            if color not in stream.COLOR_CHOICES:
                raise errors.Usage("usage", f"no color choice {references.quoted(color)}: auto, always or never")
            stream.set_color(color)
        if no_pager:
            stream.use_pager(False)
        if log_format not in (None, "text", "json"):
            raise errors.Usage("usage", f"no log format {references.quoted(log_format)}: text or json")
        if json and quiet:
            raise errors.Usage("usage", "--json and --quiet are two forms of one answer")
        self.form = "json" if json else "quiet" if quiet else "plain"
        self.connection: Database | None = None
        self._database_url = database_url
        self._log_form = log_format or ("text" if verbose else None)
        self._author: Callable[[], str] | None = None

    def author(self, author: str | None) -> Self:
        """Begin to find out who does this: the option, PROMPTCTL_AUTHOR, Git's user.email, the system's user.

        Called before `database`, so that git answers while the connection is made.
        """
        if author is not None and not author.strip():
            raise errors.Usage("usage", "--author is empty")
        claimed = author or os.environ.get("PROMPTCTL_AUTHOR", "").strip()
        if claimed:
            self._author = lambda: claimed
            return self
        email = git.start("config", "user.email")
        self._author = lambda: email() or _system_user()
        return self

    def who(self) -> str:
        """The author that `author` began to find out."""
        if self._author is None:
            self.author(None)
        assert self._author is not None
        who = self._author()
        self._author = lambda: who
        return who

    def database(
        self, *, creates: bool = False, names_embedded: bool = False, empty_if_absent: bool = False
    ) -> Database:
        """Connect to the database that was chosen; `creates` allows making an embedded one where there is none.

        `names_embedded`: the command is about the embedded database, so that one is made in CI, too.
        `empty_if_absent`: where one would be made, return an empty one that stands for it.
        """
        self.connection = connecting.connect(
            self._database_url,
            creates=creates,
            names_embedded=names_embedded,
            empty_if_absent=empty_if_absent,
            say=self.say,
        )
        return self.connection

    def refuse_secrets(self, where: str, text: str | None, *, allowed: bool) -> None:
        """Raise Refused for a text in which something looks like a key or a password, unless that is `allowed`.

        `where` names the text in the message: an option, a file.
        """
        if allowed or not text or not _may_hold_secret(text):
            return
        from promptctl.folder import secret_values

        if found := secret_values.find(text):
            line = f", line {found[0].line}" if "\n" in text.rstrip("\n") else ""
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise errors.Refused(
                "secret_found",
                f"{where}{line}: {found[0].masked} looks like {found[0].kind}{more}; nothing was changed",
                hint="take it out, and revoke it if it is real: what is stored is kept and shown",
            )

    def newest(self, limit: int | None) -> int:
        """How many rows are shown: what --limit says, else 20 on a terminal, else all, which is 0; raises Usage."""
        if limit is None:
            return _ON_A_TERMINAL if self.form == "plain" and stream.to_terminal() else 0
        from promptctl.cli import numbers

        numbers.check("--limit", limit)
        return limit

    def say(self, text: str) -> None:
        """Say a line about what is going on, to people."""
        # A program that reads JSON gets nothing else, unless it asked for the log.
        if self.form != "json":
            messages.note(text)

    @property
    def database_url(self) -> str | None:
        """What --database-url said."""
        return self._database_url

    def log(self, message: str, **fields: Any) -> None:
        """Write an event to the log, if there is one: with --verbose or --log-format."""
        if self._log_form is not None:
            messages.log(self._log_form, message, fields)


def _may_hold_secret(text: str) -> bool:
    """Whether it is worth looking: every key has so many characters without a blank, every other secret is in a URL."""
    return "://" in text or any(len(word) >= _SHORTEST_SECRET for word in text.split())


def _system_user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME") or os.environ.get("USER") or "unknown"
