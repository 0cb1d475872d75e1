"""Write `cli/table.py` from Typer's own commands: `python -m promptctl.cli.make_table`. A test holds it up to date."""

from __future__ import annotations

import pathlib
import pprint
from typing import Any

from promptctl.cli import app, catalogue, direct

PATH = pathlib.Path(__file__).with_name("table.py")


def render() -> str:
    """Return the text of `cli/table.py`."""
    shared, _ = _parameters("list", own=False)
    commands = {name: _entry(name) for name in catalogue.COMMANDS}
    return (
        '"""Made by `python -m promptctl.cli.make_table`: what each command takes, to read words without Typer."""\n'
        "\nfrom __future__ import annotations\n"
        "\nTYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any\n"
        f"\nSHARED: dict[str, tuple[str, str]] = {pprint.pformat(shared, width=116, sort_dicts=False)}\n"
        "\nCOMMANDS: dict[str, dict[str, Any]] = "
        f"{pprint.pformat(commands, width=116, sort_dicts=False)}\n"
    )


def _entry(name: str) -> dict[str, Any]:
    command = app.command(name)
    options, arguments = _parameters(name, own=True)
    defaults = {
        str(each.name): None if callable(each.default) or each.required else each.default
        for each in command.params
        if each.name != "help"
    }
    summary = (command.help or "").strip().partition("\n")[0]
    required = [str(each.name) for each in command.params if each.required and each.param_type_name == "option"]
    return {
        "summary": summary, "options": options, "arguments": arguments, "required": required, "defaults": defaults
    }  # fmt: skip


def _parameters(name: str, *, own: bool) -> tuple[dict[str, tuple[str, str]], list[tuple[str, bool, bool]]]:
    """The options (spelling: parameter, kind) and arguments (parameter, required, several), own or shared."""
    options: dict[str, tuple[str, str]] = {}
    arguments: list[tuple[str, bool, bool]] = []
    for parameter in app.command(name).params:
        key = str(parameter.name)
        if key == "help" or (key in app.SHARED) is own:
            continue
        if parameter.param_type_name == "argument":
            arguments.append((key, parameter.required, parameter.nargs == -1))
        else:
            options.update({spelling: (key, _kind(parameter)) for spelling in parameter.opts})
    return options, arguments


def _kind(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return direct.FLAG
    if parameter.multiple:
        return direct.MANY
    return direct.INTEGER if "int" in parameter.type.name.lower() else direct.ONE


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
