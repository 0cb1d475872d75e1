"""Read with Typer the command lines that `fast_reader` leaves: combined short options, attached values, mistakes.

The Typer command is built from the declarations in `catalogue`. It returns the values and does nothing else.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptctl import errors
from promptctl.cli import numbers
from promptctl.cli import parameters as p
from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.correction import lines, options
from promptctl.cli.correction.parsed_line import ParsedLine
from promptctl.folder import mistakes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.cli.parameters import Parameter


def read(name: str, rest: Sequence[str]) -> dict[str, Any]:
    """Return the values of a command's parameters by name, from the words after the command.

    The values are `{"help": True}` where the line asks for help. Raises Usage.
    """
    if lines.is_unquoted_text(name, rest):
        raise errors.Usage("usage", "a text of several words is one argument: put it in quotes")
    application = typer.Typer(add_completion=False, rich_markup_mode=None)
    application.command(add_help_option=False)(_collector(name))
    try:
        values: dict[str, Any] | int = typer.main.get_command(application).main(
            args=list(rest), prog_name=f"promptctl {name}", standalone_mode=False
        )
    except typer.TyperException as problem:
        raise _usage(problem, name, rest) from None
    # Typer turns `typer.Exit`, which the option --help raises, into an exit code.
    if isinstance(values, int):
        return {"help": True}
    del values[p.HELP.name]
    for parameter in COMMANDS[name].parameters:
        if parameter.kind == p.NUMBER and values[parameter.name] is not None:
            values[parameter.name] = numbers.parse(max(parameter.spellings, key=len), values[parameter.name])
    return values


def _collector(name: str) -> Callable[..., dict[str, Any]]:
    """Return a function that returns its arguments. Typer builds the command from the signature of that function."""

    def collect(**values: Any) -> dict[str, Any]:
        return values

    declared = [*map(_typer_parameter, (*COMMANDS[name].parameters, *p.SHARED)), _help_parameter()]
    collect.__signature__ = inspect.Signature(declared)  # pyright: ignore[reportFunctionMemberAccess] - inspect's own protocol
    collect.__annotations__ = {parameter.name: parameter.annotation for parameter in declared}
    return collect


def _typer_parameter(parameter: Parameter) -> inspect.Parameter:
    # Typer gets numbers as text, so that an invalid number has the same error in both readers.
    kind: Any = {p.FLAG: bool, p.TEXTS: list[str]}.get(parameter.kind, str)
    if not parameter.is_required and parameter.kind != p.FLAG:
        kind |= None
    information: Any = typer.Option(*parameter.spellings) if parameter.spellings else typer.Argument()
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if parameter.is_required else parameter.default,
        annotation=Annotated[kind, information],
    )


def _help_parameter() -> inspect.Parameter:
    def stop(value: bool) -> None:
        if value:
            raise typer.Exit

    information = typer.Option(*p.HELP.spellings, is_eager=True, callback=stop)
    return inspect.Parameter(
        p.HELP.name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, information]
    )


def _usage(problem: typer.TyperException, name: str, rest: Sequence[str]) -> errors.Usage:
    """Return Typer's error as one of ours, with the command's help as hint."""
    command_path = f"promptctl {name}"
    hint = f"{command_path} --help"
    command = COMMANDS[name]
    if isinstance(problem, typer.BadParameter):
        # Typer accepts any text as a value, so the only bad parameter is a missing one.
        missing = next(entry for entry in command.parameters if problem.param and entry.name == problem.param.name)
        values = ": viewer, reviewer, application, ticker or operator" if missing is p.ACCESS else ""
        return errors.Usage("usage", f"{command_path} needs {missing.usage}{values}", hint=hint)
    spelling = getattr(problem, "option_name", None)
    if spelling is None:
        return _too_many(name, rest, hint)
    option = command.options.get(spelling)
    if option is not None:
        return errors.Usage(
            "usage", f"{spelling} takes no value" if option.kind == p.FLAG else f"{spelling} needs a value"
        )
    if spelling == "--dry-run":
        return errors.Usage("usage", f'{command_path} has no option "--dry-run": {_without_dry_run(name)}', hint=hint)
    spellings = [*command.options, *p.HELP.spellings]
    return lines.unknown_option(command_path, spelling, spellings, [*name.split(" "), *rest])


def _too_many(name: str, rest: Sequence[str], hint: str) -> errors.Usage:
    if name in ("create", "chat"):
        argument = "text" if name == "create" else "message"
        return errors.Usage("usage", f"the {argument} is one argument: put it in quotes", hint=hint)
    if name == "sync":
        return mistakes.several_paths(rest)
    surplus = ParsedLine(name, rest).arguments[len(COMMANDS[name].arguments) :]
    return errors.Usage("usage", f"too many arguments: {' '.join(surplus)}", hint=hint)


def _without_dry_run(name: str) -> str:
    """Return why a command has no --dry-run: it changes nothing, or the commands that have one."""
    if name in options.READING:
        return "it changes nothing"
    return f"{', '.join(command for command, entry in COMMANDS.items() if '--dry-run' in entry.own_options)} have it"
