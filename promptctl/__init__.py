"""System prompts in PostgreSQL: numbered versions that never change, and a pointer to the active one."""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.client.exceptions import Closed as Closed
    from promptctl.client.exceptions import MissingVariables as MissingVariables
    from promptctl.client.exceptions import NoActiveVersion as NoActiveVersion
    from promptctl.client.exceptions import PromptctlError as PromptctlError
    from promptctl.client.exceptions import PromptNotFound as PromptNotFound
    from promptctl.client.exceptions import TooOld as TooOld
    from promptctl.client.exceptions import Unavailable as Unavailable
    from promptctl.client.exceptions import VersionNotFound as VersionNotFound
    from promptctl.client.prompt import Prompt as Prompt
    from promptctl.client.prompts import Prompts as Prompts
    from promptctl.client.use import Use as Use

# The public names, with their modules in `client`. A name is imported on first use: the command line needs none of
# them, and starts faster without them.
_MODULES = {
    "Prompts": "prompts",
    "Prompt": "prompt",
    "Use": "use",
    **dict.fromkeys(("Closed", "MissingVariables", "NoActiveVersion", "PromptNotFound"), "exceptions"),
    **dict.fromkeys(("PromptctlError", "TooOld", "Unavailable", "VersionNotFound"), "exceptions"),
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"promptctl.client.{_MODULES[name]}"), name)
