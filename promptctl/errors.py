"""Every failure that a user can meet: one hierarchy, one exit code and one stable code each.

An error is one line that names the thing (`message`) and, where there is one, a command to run (`hint`). `code` is
part of the contract (docs/json.md): scripts may compare it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class PromptctlError(Exception):
    """A failure with a message for people, a `code` for scripts and an exit code for shells.

    `again` are words that would have made the same command line succeed: its hint is that line with them, without the
    word `leaves_out`, and after `before_again`, what to consider before. `others` are further things of the kind that
    the message names. `sqlstate` is PostgreSQL's code, where it refused.
    """

    exit_code: int = 1
    again: tuple[str, ...] = ()
    before_again: str = ""
    leaves_out: str | None = None
    others: Sequence[str] = ()
    sqlstate: str = ""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        if hint:
            # An application's traceback shows it, too.
            self.add_note(f"hint: {hint}")


class Terminated(KeyboardInterrupt):
    """A signal that ends the process, `number`, arrived: what was begun is recorded before it does."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Failed(PromptctlError):
    """The command could not do what was asked, for a reason that none of the other classes names."""

    exit_code = 1


class Usage(PromptctlError):
    """The command line, or a setting in the environment, is malformed."""

    exit_code = 2


class NotFound(PromptctlError):
    """A prompt, a version or a moment that does not exist; `name` is that of a missing prompt."""

    exit_code = 4

    def __init__(self, code: str, message: str, *, hint: str | None = None, name: str | None = None) -> None:
        super().__init__(code, message, hint=hint)
        self.name = name


class Refused(PromptctlError):
    """A rule or a conflict forbids the change; nothing was changed."""

    exit_code = 5


class Unreachable(PromptctlError):
    """The database is not there, or went away; a change that was under way is not half applied."""

    exit_code = 6


class ClaudeFailed(PromptctlError):
    """Claude did not answer, or answered with an error; `wait_seconds` is how long it asks not to be asked again."""

    exit_code = 7
    wait_seconds = 0.0


class SchemaMismatch(PromptctlError):
    """The database holds no promptctl schema, or one of another version."""

    exit_code = 8
