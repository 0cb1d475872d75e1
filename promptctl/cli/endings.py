"""Run a command line and end the process: success, an error, an interruption or a bug."""

from __future__ import annotations

import os
import sys

from promptctl import errors
from promptctl.cli.invocation import Invocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# Exit codes.
BUG, INTERRUPTED, CLOSED_PIPE = 70, 130, 141


def run(words: Sequence[str]) -> int:
    """Run one command line and return the exit code of the process. Prints an error on standard error."""
    invocation = Invocation(words)
    _open_standard_streams()
    _end_as_first_process()
    if "--no-pager" in invocation.option_words:
        from promptctl.output import stream

        # Help obeys --no-pager too, and is printed before the options are parsed.
        stream.disable_pager()
    try:
        # The outer handlers also cover the search for a hint, which may query the database.
        try:
            code = _run(invocation)
            _flush()
            return code
        except errors.PromptctlError as problem:
            failure = _explained(problem, invocation)
            # The error is printed even if the output before it cannot be written.
            _flush(may_fail=True)
            return _failed(failure, invocation)
    except errors.PromptctlError as failure:
        return _failed(failure, invocation)
    except errors.Terminated as terminated:
        return _terminate(terminated.number)
    except KeyboardInterrupt:
        _write_held_output()
        return _failed(_Interrupted("interrupted", "interrupted"), invocation)
    except BrokenPipeError:
        # The reader has closed the pipe. The null device replaces it, so that no later write can fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return CLOSED_PIPE
    except Exception as problem:  # noqa: BLE001 - the one place where a bug becomes an exit code
        if isinstance(problem, ImportError) and (missing := _missing_extra(problem)) is not None:
            _flush(may_fail=True)
            return _failed(missing, invocation)
        return _bug(problem, invocation)


class _Interrupted(errors.PromptctlError):
    exit_code = INTERRUPTED


class _Bug(errors.PromptctlError):
    exit_code = BUG


def _open_standard_streams() -> None:
    """Open the null device for each closed standard stream.

    Otherwise a socket that is opened later could get the descriptor, and with it our output. os.open returns the lowest
    free descriptor, so when it returns 2 or more, the descriptors 0, 1 and 2 are open.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while os.open(os.devnull, os.O_RDWR) < 2:
            pass


def _end_as_first_process() -> None:
    """Handle SIGTERM if this is the first process of a container: there, the system ignores it without a handler."""
    if os.getpid() == 1:
        from promptctl.cli import interruption

        interruption.handle_termination()


def _run(invocation: Invocation) -> int:
    words = invocation.words
    if words[:1] == ["help"] and len(words) > 1:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("--help", "-h", "--version", "-V", "help"):
        from promptctl.cli import help

        return help.root(words)
    if words[0] == "__complete":
        from promptctl.cli import completing
        from promptctl.output import stream

        stream.write("".join(f"{candidate}\n" for candidate in completing.candidates(words[1:])))
        return 0
    try:
        return _execute(invocation, words)
    except errors.Usage:
        from promptctl.cli.correction import lines

        # A command raises Usage before it does anything, so the corrected line can run instead.
        if (corrected := lines.certain_correction(words)) is None:
            raise
    return _execute(invocation, corrected)


def _execute(invocation: Invocation, words: Sequence[str]) -> int:
    name, values = _read(words)
    if "help" in values:
        from promptctl.cli import help

        return help.show(name)
    return invocation.execute(name, values)


def _read(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the name of the command and the values of its parameters. Raises Usage.

    For a family alone, for example `db`, returns its name and `{"help": True}`.
    """
    from promptctl.cli import fast_reader

    if read := fast_reader.read(words):
        return read
    name, rest = fast_reader.command(words)
    if name is None:
        from promptctl.cli import unknown_words

        return unknown_words.family(words), {"help": True}
    try:
        from promptctl.cli import typer_reader
    except ModuleNotFoundError as failure:
        if (missing := _missing_extra(failure)) is None:
            raise
        # The fast reader accepts every valid line.
        message = 'the command line is invalid; to see why, install the extra "cli" of promptctl'
        raise errors.Usage("usage", message, hint=missing.hint) from None
    return name, typer_reader.read(name, rest)


def _missing_extra(failure: ImportError) -> errors.Failed | None:
    from promptctl import requirements

    return requirements.missing_extra(failure)


def _explained(failure: errors.PromptctlError, invocation: Invocation) -> errors.PromptctlError:
    """Return the error to print, with a hint."""
    from promptctl.cli import hints

    if isinstance(failure, errors.Usage):
        _set_color(invocation.option_words)
    return hints.explained(failure, invocation)


def _set_color(options: Sequence[str]) -> None:
    """Apply --color before an error in the command line is printed. Without an error, cli.run.Run applies it later."""
    from promptctl.cli import command_line
    from promptctl.output import stream

    if (when := command_line.value_of("--color", options)) in stream.COLOR_CHOICES:
        stream.set_color(when)


def _flush(*, may_fail: bool = False) -> None:
    from promptctl.output import stream

    try:
        stream.flush()
    except errors.Failed:
        if not may_fail:
            raise


def _write_held_output() -> None:
    """Write the output that was held for the pager, if possible."""
    from promptctl.output import stream

    try:
        stream.write_buffered()
    except (errors.Failed, BrokenPipeError):
        return


def _terminate(number: int) -> int:
    """End the process by the signal itself, which the parent process sees. Returns only if the signal is blocked."""
    import signal

    _flush(may_fail=True)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def _failed(failure: errors.PromptctlError, invocation: Invocation) -> int:
    from promptctl.output import messages

    messages.error(failure, as_json=invocation.is_json)
    return failure.exit_code


def _bug(bug: Exception, invocation: Invocation) -> int:
    """Print an error for a bug, and save a report to send. Neither contains data of the user."""
    _write_held_output()
    if os.environ.get("PROMPTCTL_TRACEBACK"):
        import traceback

        traceback.print_exception(bug)
    summary, hint = type(bug).__name__, "run it again with PROMPTCTL_TRACEBACK=1 and report what it prints"
    try:
        from promptctl.cli import bug_report, report_files

        summary, report = bug_report.summary(bug), bug_report.text(bug, invocation.words)
        if path := report_files.save(report):
            import shlex

            hint = f"report it with the output of: cat {shlex.quote(path)}"
        else:
            from promptctl.output import stream

            stream.write_stderr(report)
            hint = "report it with the lines above"
    except Exception:  # noqa: BLE001, S110 - without a report, for example if memory is exhausted, the error is still printed
        pass
    return _failed(_Bug("bug", f"this is a bug in promptctl: {summary}", hint=hint), invocation)
