"""promptctl completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.cli import completion_scripts
from promptctl.output import stream
from promptctl.rules import references

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def completion(run: Run, shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options, prompts and their versions.

    Examples:
      source <(promptctl completion bash)      # in ~/.bashrc
      source <(promptctl completion zsh)       # in ~/.zshrc, after compinit
      promptctl completion fish | source       # in ~/.config/fish/config.fish
    """
    if shell not in completion_scripts.SCRIPTS:
        raise errors.Usage("usage", f"invalid shell {references.quoted(shell)}: use bash, zsh or fish")
    stream.write(completion_scripts.SCRIPTS[shell])
