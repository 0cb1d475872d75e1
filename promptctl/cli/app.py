"""The Typer application: built from the commands' signatures, a command at a time, when Typer has to read the words."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from promptctl import errors
from promptctl.cli import catalogue, corrected_options, corrections, help, numbers, options, program, table
from promptctl.cli.run import Run
from promptctl.folder import mistakes
from promptctl.output import stream
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

SHARED: dict[str, tuple[Any, Any]] = {
    "database_url": (options.DatabaseUrl, None),
    "json": (options.Json, False),
    "quiet": (options.Quiet, False),
    "verbose": (options.Verbose, False),
    "log_format": (options.LogFormat, None),
    "color": (options.Color, None),
    "no_pager": (options.NoPager, False),
}


class Command(TyperCommand):
    """A command whose help is ours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of one command, without Rich."""
        formatter.write(help.command(self, ctx.command_path, list(SHARED)))

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option --help, which goes through the pager."""
        return _paged(super().get_help_option(ctx))


class Family(TyperGroup):
    """A group that builds a command only when it is named."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the catalogue."""
        return _names(self.name)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, built now; None: there is no such command."""
        if self.name == "promptctl" and cmd_name in catalogue.FAMILIES:
            return _family(cmd_name)
        full = cmd_name if self.name == "promptctl" else f"{self.name} {cmd_name}"
        return command(full) if full in catalogue.COMMANDS and " " not in cmd_name else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the words name; raises Usage with the nearest one."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise _unknown_command(ctx.command_path, args, _names(self.name))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the overview of the commands."""
        formatter.write(help.overview(None if self.name == "promptctl" else self.name))

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option --help, which goes through the pager."""
        return _paged(super().get_help_option(ctx))


def _paged(option: Any) -> Any:
    if option is not None:
        option.callback = _show_help
    return option


def _show_help(ctx: Any, _: Any, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        stream.hold_for_pager()
        stream.write(f"{ctx.get_help()}\n")
        ctx.exit()


def command(name: str) -> Command:
    """Return the Typer command of a name such as `rollback` or `db init`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name.rpartition(" ")[2], cls=Command, context_settings={"help_option_names": ["-h", "--help"]})(
        _callable(name)
    )
    built = typer.main.get_command(app)
    assert isinstance(built, Command)
    return built


def invoke(words: Sequence[str]) -> int:
    """Let Typer read the words, and run what they say; returns the exit code. Raises Usage and what commands raise."""
    if list(words) in [[family] for family in catalogue.FAMILIES]:
        words = [*words, "--help"]
    if corrections.is_split_text(words):
        raise errors.Usage("usage", "a text of several words is one argument: put it in quotes")
    try:
        result = _family("promptctl").main(args=list(words), prog_name="promptctl", standalone_mode=False)
    except _UsageError as problem:
        raise _usage(problem, words) from None
    return result if isinstance(result, int) else 0


def _usage(problem: Any, words: Sequence[str]) -> errors.Usage:
    """Typer's complaint as one of ours, with the help to read."""
    context = problem.ctx
    path = context.command_path if context is not None else "promptctl"
    said = " ".join(problem.format_message().split()).rstrip(".")
    hint = f"{path} --help"
    option, kind = str(getattr(problem, "option_name", "")), type(problem).__name__
    if kind == "MissingParameter":
        values = ": viewer, application or operator" if problem.param.name == "access" else ""
        return errors.Usage("usage", f"{path} needs {help.spelling(problem.param)}{values}", hint=hint)
    if kind == "NoSuchOption":
        if path == "promptctl" and option in _shared_options():
            return errors.Usage("usage", f"{option} stands after the command: promptctl COMMAND {option}", hint=hint)
        if option == "--dry-run":
            return errors.Usage("usage", f'{path} has no option "--dry-run": {_without_rehearsal(path)}', hint=hint)
        near = (
            f": did you mean {problem.possibilities[0]}?"
            if problem.possibilities and corrections.corrected(words) is None
            else ""
        )
        return errors.Usage("usage", f"{path} has no option {references.quoted(option)}{near}", hint=hint)
    if kind == "BadOptionUsage":
        return errors.Usage("usage", f"{option} needs a value" if "requires" in said else f"{option} takes no value")
    if kind == "BadParameter":
        spellings: list[str] = problem.param.opts
        return numbers.refused(max(spellings, key=len), _value(words, spellings))
    if said.startswith("Got unexpected extra"):
        if path in ("promptctl create", "promptctl chat"):
            what = "text" if path == "promptctl create" else "message"
            return errors.Usage("usage", f"the {what} is one argument: put it in quotes", hint=hint)
        if path == "promptctl sync":
            return mistakes.several(words[1:])
        return errors.Usage("usage", f"too many arguments: {said.rpartition('(')[2].removesuffix(')')}", hint=hint)
    return errors.Usage("usage", said[:1].lower() + said[1:], hint=hint)


def _without_rehearsal(path: str) -> str:
    """Return why a command has no --dry-run: it changes nothing, or which commands have one."""
    if path.removeprefix("promptctl ") in corrected_options.READING:
        return "it changes nothing"
    return f"{', '.join(name for name, entry in table.COMMANDS.items() if '--dry-run' in entry['options'])} have it"


def _value(words: Sequence[str], spellings: Sequence[str]) -> str:
    """Return what the words give for an option, the last time that it is there, in any form that Typer reads."""
    for place in reversed(range(len(words))):
        option, equals, value = words[place].partition("=")
        if option in spellings:
            return value if equals else "".join(words[place + 1 : place + 2])
        short = words[place][:2]
        if short in spellings and not words[place].startswith("--"):
            return words[place][2:]
    return ""


def _unknown_command(path: str, words: Sequence[str], names: Sequence[str]) -> errors.Usage:
    import difflib

    word = words[0]
    if there_is := corrections.instead([*path.split(" ")[1:], *words]):
        why, hint = there_is
        return errors.Usage("usage", f"{path} has no command {references.quoted(word)}: {why}", hint=hint)
    # Looked for with and without its family: `init` is `db init`, and `db list` is `list`.
    known = sorted(catalogue.COMMANDS, key=lambda name: " " not in name)
    ways = {name.rpartition(" ")[2]: f"promptctl {name} --help" for name in known}
    ways |= {name: f"{path} {name} --help" for name in names}
    near = difflib.get_close_matches(word, ways, n=1, cutoff=0.75)
    return errors.Usage(
        "usage", f"{path} has no command {references.quoted(word)}", hint=ways[near[0]] if near else f"{path} --help"
    )


def _shared_options() -> set[str]:
    return {spelling for each in command("list").params if each.name in SHARED for spelling in each.opts}


def _names(family: str | None) -> list[str]:
    if family == "promptctl":
        return [*(name for name in catalogue.COMMANDS if " " not in name), *catalogue.FAMILIES]
    return [name.partition(" ")[2] for name in catalogue.COMMANDS if name.startswith(f"{family} ")]


def _family(name: str) -> Family:
    return Family(
        name=name,
        invoke_without_command=False,
        no_args_is_help=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )


def _callable(name: str) -> Callable[..., int | None]:
    """Return a function that takes the shared options and the command's own, as Typer wants to see it."""
    module, function_name = catalogue.locate(catalogue.COMMANDS[name])
    function = getattr(importlib.import_module(module), function_name)
    own = inspect.signature(function, globals=vars(options) | {"Run": Run}, eval_str=True)

    def call(**values: Any) -> int | None:
        return program.execute(name, values)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        if parameter.name != "run"
    ]
    shared = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for key, (annotation, default) in SHARED.items()
    ]
    call.__signature__ = inspect.Signature([*parameters, *shared])  # pyright: ignore[reportFunctionMemberAccess] - inspect's own protocol
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in [*parameters, *shared]}
    call.__doc__ = function.__doc__
    return call
