"""Read lines at the terminal, with readline, a history and continuation lines.

readline waits in C without the interpreter's lock, so typing stays smooth while Claude's SDK is imported.
"""

from __future__ import annotations

import os
import sys

try:
    import readline
except ImportError:  # a Python without readline still reads lines
    readline = None

# Lines in the history file.
_MOST_LINES = 1000
# Esc Enter inserts a line break. Ctrl-X Ctrl-E opens the line in an editor, as in a shell.
_KEYS = (r'"\e\C-m": "\C-v\C-j"', r'"\C-x\C-e": "\C-a/edit \C-m"')
_CONTINUATION_PROMPT = "… "


class LineEditor:
    """Reads messages from the terminal. Tab completes `commands`."""

    def __init__(self, commands: list[str]) -> None:
        self._history = _history_file()
        if readline is None:
            return
        readline.set_auto_history(False)
        readline.set_completer_delims("")
        readline.set_completer(lambda text, state: _completion(commands, text, state))
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")
        else:
            # A dumb terminal would print the escape sequences of bracketed paste.
            is_dumb = os.environ.get("TERM", "") in ("", "dumb")
            pasting = f"set enable-bracketed-paste {'off' if is_dumb else 'on'}"
            for key in ("tab: complete", *_KEYS, pasting):
                readline.parse_and_bind(key)
        if self._history is not None:
            try:
                readline.read_history_file(self._history)
            except OSError:
                # The first conversation has no history.
                return

    def read(self, prompt: str, style: str | None) -> str:
        """Return the next message. A backslash at the end continues it. Raises EOFError, KeyboardInterrupt.

        `style` is an SGR code for the prompt, None where there is no color.
        """
        # readline counts no columns between \x01 and \x02.
        styled_prompt = prompt if style is None else f"\x01\x1b[{style}m\x02{prompt}\x01\x1b[0m\x02"
        lines = [input(styled_prompt)]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input(_CONTINUATION_PROMPT))
        # An invalid byte from the terminal becomes U+FFFD.
        message = "\n".join(lines).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.remember(message)
        return message

    def remember(self, message: str) -> None:
        """Add a message to the history, unless it is the last one already."""
        if readline is None or not message.strip():
            return
        length = readline.get_current_history_length()
        if length == 0 or readline.get_history_item(length) != message:
            readline.add_history(message)

    def close(self) -> None:
        """Save the history for the next conversation, if possible."""
        if readline is None or self._history is None:
            return
        readline.set_history_length(_MOST_LINES)
        try:
            os.makedirs(os.path.dirname(self._history), mode=0o700, exist_ok=True)
            # Other users must not read the history, not even its first bytes.
            os.close(os.open(self._history, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.write_history_file(self._history)
        except OSError:
            return


def _completion(commands: list[str], text: str, state: int) -> str | None:
    """Return match number `state`, None after the last one. readline calls this with 0, 1 and so on."""
    matches = [command for command in commands if command.startswith(text)] if text.startswith("/") else []
    return matches[state] if state < len(matches) else None


def _history_file() -> str | None:
    """Return the history file: PROMPTCTL_CHAT_HISTORY (empty: none), else one in the user's state directory."""
    setting = os.environ.get("PROMPTCTL_CHAT_HISTORY")
    if setting is not None:
        try:
            return os.path.abspath(setting) if setting else None
        except OSError:
            # The working directory is gone.
            return None
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Application Support")
    else:
        base = os.environ.get("XDG_STATE_HOME", "")
        if not os.path.isabs(base):  # the XDG specification ignores a relative path
            base = os.path.expanduser("~/.local/state")
    # Without a home directory there is no history, and no folder called `~`.
    return os.path.join(base, "promptctl", "chat_history") if os.path.isabs(base) else None
