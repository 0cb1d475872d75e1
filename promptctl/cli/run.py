"""One run of a command: the options that commands share, the connection and the author."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.folder import git
from promptctl.output import messages, stream
from promptctl.postgres import connecting
from promptctl.rules import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from promptctl.postgres.database import Database

_ROWS_ON_A_TERMINAL = 20
_SHORTEST_SECRET = 20


class Run:
    """The shared options of one run, its connection once there is one, and its author."""

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
        author: str | None = None,
        reason: str | None = None,
        allow_secrets: bool = False,
        table_format: str | None = None,
    ) -> None:
        if color is not None:
            if color not in stream.COLOR_CHOICES:
                raise errors.Usage("usage", f"invalid color {references.quoted(color)}: use auto, always or never")
            stream.set_color(color)
        if no_pager:
            stream.disable_pager()
        if log_format not in (None, "text", "json"):
            raise errors.Usage("usage", f"invalid log format {references.quoted(log_format)}: use text or json")
        if json and quiet:
            raise errors.Usage("usage", "use only one of --json and --quiet")
        self.form = "json" if json else "quiet" if quiet else "plain"
        if table_format is not None:
            self.use_format(table_format)
        self.reason = reason
        self.allow_secrets = allow_secrets
        # The words of the command line, for a command to paste.
        self.words: Sequence[str] = ()
        self.connection: Database | None = None
        self._database_url = database_url
        self._log_form = log_format or ("text" if verbose else None)
        self._author = author
        self._read_email: Callable[[], str | None] | None = None

    def use_format(self, format: str, choices: Sequence[str] | None = None) -> str:
        """Write tables in a format, and return the form of the answer. Raises Usage, as `formats.select` does."""
        form = self.select_form(format, choices)
        if form == "markdown":
            stream.use_markdown()
        return form

    def select_form(self, format: str | None, choices: Sequence[str] | None = None) -> str:
        """Return the form of the answer: that of --format, else plain, quiet or json. Raises Usage."""
        if format is None:
            return self.form
        from promptctl.cli import formats

        form = formats.select(self.form, format, choices or formats.CHOICES)
        if form == "json":
            self.form = form
        return form

    def start_author(self) -> None:
        """Start to determine the author, the first of: --author, PROMPTCTL_AUTHOR, Git's user.email, the system user.

        Call this before `database`. Then git runs while the connection is made.
        """
        if self._author is not None and not self._author.strip():
            raise errors.Usage("usage", "--author is empty")
        self._author = self._author or os.environ.get("PROMPTCTL_AUTHOR", "").strip()
        if not self._author:
            self._read_email = git.start("config", "user.email")

    def author(self) -> str:
        """Return the author. Call `start_author` first."""
        if not self._author:
            email = None if self._read_email is None else self._read_email()
            self._author = email or _system_user()
        return self._author

    def database_to_change(self) -> Database:
        """Connect to make a change with an author and a reason. Raises Refused for a secret in the reason."""
        self.refuse_secrets("--reason", self.reason)
        self.start_author()
        return self.database()

    def database(
        self, *, creates: bool = False, names_embedded: bool = False, empty_if_absent: bool = False
    ) -> Database:
        """Connect to the selected database.

        `creates`: create the embedded database if it does not exist.
        `names_embedded`: create it in CI too, because the command is about the embedded database.
        `empty_if_absent`: if it does not exist, return a database without prompts and create nothing.
        """
        self.connection = connecting.connect(
            self._database_url,
            creates=creates,
            names_embedded=names_embedded,
            empty_if_absent=empty_if_absent,
            say=self.note,
        )
        if self.connection.embedded:
            self.connection.migrate_older = self._migrate_embedded
        return self.connection

    def _migrate_embedded(self) -> None:
        from promptctl.postgres import self_migration

        assert self.connection is not None
        self_migration.migrate(self.connection, self.note)

    def refuse_secrets(self, where: str, text: str | None) -> None:
        """Raise Refused for a text that seems to contain a key or a password, unless --allow-secrets is set.

        `where` names the text in the error, for example an option or a file.
        """
        if self.allow_secrets or not text or not _may_contain_secret(text):
            return
        from promptctl.folder import secret_values

        if secrets := secret_values.find(text):
            line = f", line {secrets[0].line}" if "\n" in text.rstrip("\n") else ""
            more = f" (and {len(secrets) - 1} more)" if len(secrets) > 1 else ""
            raise errors.Refused(
                "secret_found",
                f"{where}{line}: {secrets[0].masked} looks like {secrets[0].kind}{more}; nothing was changed",
                hint="remove it, and revoke it if it is real: promptctl keeps and shows what it stores",
            )

    def row_limit(self, limit: int | None) -> int:
        """Return how many rows to show: --limit, else 20 on a terminal, else 0 for all. Raises Usage."""
        if limit is None:
            return _ROWS_ON_A_TERMINAL if self.form == "plain" and stream.to_terminal() else 0
        from promptctl.cli import numbers

        numbers.check("--limit", limit)
        return limit

    def note(self, text: str) -> None:
        """Print a note on standard error. With --json print nothing, because programs expect only JSON."""
        if self.form != "json":
            messages.note(text)

    @property
    def database_url(self) -> str | None:
        """The value of --database-url."""
        return self._database_url

    def log(self, message: str, **fields: Any) -> None:
        """Write an event to the log, with --verbose or --log-format."""
        if self._log_form is not None:
            messages.log(self._log_form, message, fields)


def _may_contain_secret(text: str) -> bool:
    """Whether a search for secrets could find one: a key is a long word, and any other secret is in a URL."""
    return "://" in text or any(len(word) >= _SHORTEST_SECRET for word in text.split())


def _system_user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME") or os.environ.get("USER") or "unknown"
