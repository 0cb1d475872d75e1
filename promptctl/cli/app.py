"""The Typer application: built from the commands' signatures, a command at a time, when Typer has to read the words."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from promptctl.cli import catalogue, help, options, program
from promptctl.cli.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UsageError: type[Exception] = typer.BadParameter.__mro__[1]

SHARED: dict[str, tuple[Any, Any]] = {
    "database_url": (options.DatabaseUrl, None),
    "json": (options.Json, False),
    "quiet": (options.Quiet, False),
    "verbose": (options.Verbose, False),
    "log_format": (options.LogFormat, None),
}


class Command(TyperCommand):
    """A command whose help is ours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of one command, without Rich."""
        formatter.write(help.command(self, ctx.command_path, list(SHARED)))


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
        return command(full) if full in catalogue.COMMANDS else None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the overview of the commands."""
        formatter.write(help.overview(None if self.name == "promptctl" else self.name))


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
    """Let Typer read the words, and run what they say; returns the exit code. Raises UsageError and what commands raise."""
    result = _family("promptctl").main(args=list(words), prog_name="promptctl", standalone_mode=False)
    return result if isinstance(result, int) else 0


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
    call.__signature__ = inspect.Signature([*parameters, *shared])  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in [*parameters, *shared]}
    call.__doc__ = function.__doc__
    return call
