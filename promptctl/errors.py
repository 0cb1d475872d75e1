"""Every error that a user can meet: one class for each exit code, and a stable code for each error.

An error has a `message` of one line that names the problem. If possible it has a `hint` with the next step, usually a
command to run. Scripts may compare `code`: docs/json.md lists the codes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Exit codes of checks, which are no errors: a check found differences, or a comparison or a rollout is not decided.
DIFFERENT = 3
NOT_DECIDED = 9


class PromptctlError(Exception):
    """An error with a message for people, a `code` for scripts and an exit code for shells.

    `hint_options` are words with which the command that failed would succeed. If there are any, `cli.hints` makes the
    hint: `hint_prefix`, then the command line with these words added and the word `hint_without` removed.

    `hint_corrections` are beginnings of words of that command line with what replaces them, as `nmae=` with `name=`.
    Without such a word there, the hint is `hint`.

    `others` are messages of further errors of the same kind, for example the other invalid files. `sqlstate` is
    PostgreSQL's code, or empty.
    """

    exit_code: int = 1
    hint_options: tuple[str, ...] = ()
    hint_prefix: str = ""
    hint_without: str | None = None
    hint_corrections: Mapping[str, str] = {}
    others: Sequence[str] = ()
    sqlstate: str = ""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        if hint:
            # A traceback in an application shows the hint too.
            self.add_note(f"hint: {hint}")


class Terminated(KeyboardInterrupt):
    """The signal `number` ends the process. It is raised as Ctrl-C is, so that calls in progress are still recorded."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Failed(PromptctlError):
    """The command failed for a reason that has no class of its own."""

    exit_code = 1


class Usage(PromptctlError):
    """The command line or an environment variable is invalid."""

    exit_code = 2


class NotFound(PromptctlError):
    """A prompt, a version or a release does not exist; `name` is the name of a missing prompt."""

    exit_code = 4

    def __init__(self, code: str, message: str, *, hint: str | None = None, name: str | None = None) -> None:
        super().__init__(code, message, hint=hint)
        self.name = name


class Refused(PromptctlError):
    """A rule or a conflict forbids the change; nothing has changed."""

    exit_code = 5


class Unreachable(PromptctlError):
    """The database cannot be reached, or the connection was lost; no change is half applied."""

    exit_code = 6


class ClaudeFailed(PromptctlError):
    """Claude did not answer, or answered with an error; `wait_seconds` is the time until a retry is allowed."""

    exit_code = 7
    wait_seconds = 0.0


class SchemaMismatch(PromptctlError):
    """The database has no promptctl schema, or another version of it."""

    exit_code = 8
