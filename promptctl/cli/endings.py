"""The three ways in which a command ends: as expected, interrupted, or with a bug. One place for all exit codes."""

from __future__ import annotations

import os
import sys

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BUG, INTERRUPTED, CLOSED_PIPE = 70, 130, 141


def run(words: Sequence[str]) -> int:
    """Carry out one command line; returns the process's exit code and says on standard error what failed."""
    options = words[: words.index("--")] if "--" in words else words
    as_json = "--json" in options
    _keep_descriptors()
    if "--no-pager" in options:
        from promptctl.output import stream

        # Help is shown before the options are read.
        stream.use_pager(False)
    try:
        try:
            code = _carry_out(words)
            _flush()
            return code
        except errors.PromptctlError as problem:
            failure = _without_quotes(problem, words) or problem
            if isinstance(failure, errors.Usage):
                _set_color(options)
            _suggest(failure, words)
            # What is known to have failed is told, also when the part of the answer before it cannot be written.
            _flush(may_fail=True)
            return _failed(failure, as_json)
    except errors.PromptctlError as failure:
        return _failed(failure, as_json)
    except errors.Terminated as ended:
        return _terminate(ended.number)
    except KeyboardInterrupt:
        _leave_pager()
        return _failed(_Interrupted("interrupted", "interrupted"), as_json)
    except BrokenPipeError:
        # The reader has gone: nothing more can be said to it, and the interpreter must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return CLOSED_PIPE
    except Exception as bug:  # noqa: BLE001 - the one place where a bug becomes an exit code
        return _bug(bug, words, as_json)


def _terminate(number: int) -> int:
    """End as the signal would have ended the process, so that whoever started it sees that."""
    import signal

    _flush(may_fail=True)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


class _Interrupted(errors.PromptctlError):
    exit_code = INTERRUPTED


class _Bug(errors.PromptctlError):
    exit_code = BUG


def _keep_descriptors() -> None:
    """Put the null device where a standard stream is closed, or a connection would get its number, and its output."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while os.open(os.devnull, os.O_RDWR) < 2:
            pass


def _set_color(options: Sequence[str]) -> None:
    """Use what --color says, for an error in the words of the command line: nobody has read them to the end."""
    from promptctl.output import stream

    for place, word in enumerate(options):
        option, equals, when = word.partition("=")
        if option == "--color":
            when = when if equals else "".join(options[place + 1 : place + 2])
            if when in stream.COLOR_CHOICES:
                stream.set_color(when)


def _leave_pager() -> None:
    from promptctl.output import stream

    try:
        stream.release_held()
    except (errors.Failed, BrokenPipeError):
        return


def _carry_out(words: Sequence[str]) -> int:
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
        return _execute(words)
    except errors.Usage:
        from promptctl.cli import corrections

        # Nothing has been done yet: a command checks its words first.
        if (meant := corrections.accepted(words)) is None:
            raise
    return _execute(meant)


def _execute(words: Sequence[str]) -> int:
    from promptctl.cli import direct

    if read := direct.read(words):
        from promptctl.cli import program

        return program.execute(*read) or 0

    from promptctl.cli import app

    return app.invoke(words)


def _suggest(failure: errors.PromptctlError, words: Sequence[str]) -> None:
    """Add a way out where there is none yet: the prompt's name that was probably meant, the help of the command.

    Where the same command would succeed with a few words more, that is the way out.
    """
    if isinstance(failure, errors.Usage) and not failure.again and _correct(failure, words):
        return
    if failure.code == "permission_denied":
        from promptctl.cli import program, suggestions

        if program.current is not None and program.current.connection is not None:
            failure.hint = suggestions.access(program.current.connection, failure.message, words) or failure.hint
    if failure.code == "invalid_version":
        from promptctl.cli import suggestions

        failure.hint = suggestions.version(words) or failure.hint
    if failure.hint is not None:
        return
    if isinstance(failure, errors.NotFound) and _is_like_a_version(failure.name) and _correct(failure, words):
        return
    if failure.again:
        from promptctl.cli import command_line

        line = command_line.changed(words, failure.again, failure.leaves_out)
        failure.hint = failure.before_again + command_line.pasted(line)
    elif isinstance(failure, errors.NotFound) and failure.name is not None:
        from promptctl.cli import program, suggestions

        if program.current is not None and program.current.connection is not None:
            failure.hint = suggestions.hint(program.current.connection, failure.name)
    elif isinstance(failure, errors.Usage):
        from promptctl.cli import direct

        name, _ = direct.command(words)
        failure.hint = f"promptctl {name} --help" if name else "promptctl --help"


def _without_quotes(failure: errors.PromptctlError, words: Sequence[str]) -> errors.PromptctlError | None:
    """Return the error of a reason without quotes before the names, where one of its words is taken for a name."""
    if failure.code != "prompt_not_found" or len(words) < 5:
        return None
    from promptctl.cli import direct, program, suggestions, unquoted

    name, rest = direct.command(words)
    if name is None or program.current is None or program.current.connection is None:
        return None
    if (text := unquoted.before_names(name, rest)) is None:
        return None
    first, end = text
    if not (count := suggestions.leading_words_that_are_no_prompts(program.current.connection, rest[first + 1 : end])):
        return None
    from promptctl.cli import command_line

    last = first + 1 + count
    line = [name, *rest[:first], " ".join(rest[first:last]), *rest[last:]]
    return errors.Usage(
        "usage", "a text of several words is one argument: put it in quotes", hint=command_line.pasted(line)
    )


def _is_like_a_version(name: str | None) -> bool:
    """Whether the name of a prompt that is not there is a version: `v1` of `rollback D v1`, `1..2` of `diff D 1..2`."""
    return name is not None and name.lstrip("vV").replace("..", "", 1).isdigit()


def _correct(failure: errors.PromptctlError, words: Sequence[str]) -> bool:
    """Make the command line that was probably meant the hint; returns whether there is one."""
    from promptctl.cli import command_line, corrections

    if (meant := corrections.corrected(words)) is None:
        return False
    failure.hint = command_line.pasted(meant)
    return True


def _flush(*, may_fail: bool = False) -> None:
    from promptctl.output import stream

    try:
        stream.flush()
    except errors.Failed:
        if not may_fail:
            raise


def _failed(failure: errors.PromptctlError, as_json: bool) -> int:
    from promptctl.output import messages

    messages.error(failure, as_json=as_json)
    return failure.exit_code


def _bug(bug: Exception, words: Sequence[str], as_json: bool) -> int:
    """Say that there is a bug, without a value in it, and leave a report that can be sent."""
    _leave_pager()
    if os.environ.get("PROMPTCTL_TRACEBACK"):
        import traceback

        traceback.print_exception(bug)
    what, hint = type(bug).__name__, "run it again with PROMPTCTL_TRACEBACK=1 and report what it prints"
    try:
        from promptctl.cli import bug_report, state_files

        what, report = bug_report.summary(bug), bug_report.text(bug, words)
        if path := state_files.keep(report):
            import shlex

            hint = f"report it with what this prints: cat {shlex.quote(path)}"
        else:
            from promptctl.output import stream

            stream.write_stderr(report)
            hint = "report it with the lines above"
    except Exception:  # noqa: BLE001, S110 - an interpreter out of memory makes no report, and the bug is still told
        pass
    return _failed(_Bug("bug", f"this is a bug in promptctl: {what}", hint=hint), as_json)
