"""Lines that a person types: edited by readline, kept in a history, continued over several lines.

readline waits and echoes in C, without the interpreter's lock: typing stays smooth while Claude's SDK is imported.
"""

from __future__ import annotations

import os
import sys

try:
    import readline
except ImportError:  # a Python that was built without it reads lines all the same
    readline = None

_MOST_LINES = 1000
# Esc Enter puts a line end into the line; Ctrl-X Ctrl-E gives the line to the editor, as in a shell.
_KEYS = (r'"\e\C-m": "\C-v\C-j"', r'"\C-x\C-e": "\C-a/edit \C-m"')
_CONTINUED = "… "


class LineEditor:
    """Reads messages from the terminal. `commands` are completed at the Tab key."""

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
            # A terminal that understands no escapes would show what switches the marks of a paste on and off.
            is_dumb = os.environ.get("TERM", "") in ("", "dumb")
            pasting = f"set enable-bracketed-paste {'off' if is_dumb else 'on'}"
            for key in ("tab: complete", *_KEYS, pasting):
                readline.parse_and_bind(key)
        if self._history is not None:
            try:
                readline.read_history_file(self._history)
            except OSError:
                # The first conversation has none.
                return

    def read(self, prompt: str, style: str | None) -> str:
        """Return the next message; a line that ends in a backslash goes on. Raises EOFError, KeyboardInterrupt.

        `style` is an SGR code for the prompt, None where there is no color.
        """
        # What stands between \x01 and \x02 takes no room on the line.
        shown = prompt if style is None else f"\x01\x1b[{style}m\x02{prompt}\x01\x1b[0m\x02"
        lines = [input(shown)]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input(_CONTINUED))
        message = "\n".join(lines).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.remember(message)
        return message

    def remember(self, message: str) -> None:
        """Put a message into the history, unless it is there as the last one."""
        if readline is None or not message.strip():
            return
        length = readline.get_current_history_length()
        if length == 0 or readline.get_history_item(length) != message:
            readline.add_history(message)

    def close(self) -> None:
        """Keep the history for the next conversation. Where it cannot be kept, nothing is lost that was promised."""
        if readline is None or self._history is None:
            return
        readline.set_history_length(_MOST_LINES)
        try:
            os.makedirs(os.path.dirname(self._history), mode=0o700, exist_ok=True)
            # What people ask is nobody else's to read, from the first byte on.
            os.close(os.open(self._history, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.write_history_file(self._history)
        except OSError:
            return


def _completion(commands: list[str], text: str, state: int) -> str | None:
    found = [command for command in commands if command.startswith(text)] if text.startswith("/") else []
    return found[state] if state < len(found) else None


def _history_file() -> str | None:
    """Return where the history is kept: PROMPTCTL_CHAT_HISTORY (empty: nowhere), else in the user's state directory."""
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
        if not os.path.isabs(base):  # what the XDG specification says about a relative path
            base = os.path.expanduser("~/.local/state")
    # A user without a home directory has no history, and no folder called `~` is made.
    return os.path.join(base, "promptctl", "chat_history") if os.path.isabs(base) else None
