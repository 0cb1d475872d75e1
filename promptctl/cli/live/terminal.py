"""The terminal of a live screen: keys without echo, its signals, and its settings as they were at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import TYPE_CHECKING, Any

from promptctl import errors
from promptctl.cli.live.keys import KeyReader
from promptctl.postgres import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

# After Esc, the other bytes of an arrow follow at once. A slow line may take a while.
_SEQUENCE_SECONDS = 0.1
_LOCAL_FLAGS, _CONTROL_CHARACTERS = 3, 6
# They end a process at once unless it handles them, and would leave the terminal without echo.
ENDING_SIGNALS = (signal.SIGQUIT, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2)
_SIGNALS = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH, *ENDING_SIGNALS
)  # fmt: skip


class Terminal:
    """Waits for keys, signals and other threads. `enter` and `leave` draw and remove the screen.

    Ctrl-C and the ending signals raise their exceptions in `wait`. Ctrl-Z leaves the screen, stops the process, and
    enters the screen again when the shell continues it.
    """

    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self._enter_screen, self._leave_screen = enter, leave
        self._keys = KeyReader()
        self._input = 0
        self._saved: list[Any] = []
        self._is_entered = False
        self._must_stop = self._must_resume = False
        self.is_resized = False
        self._wake_reader, self._wake_writer = os.pipe()
        for descriptor in (self._wake_reader, self._wake_writer):
            os.set_blocking(descriptor, False)

    def wake(self) -> None:
        """End a `wait`, from any thread."""
        with contextlib.suppress(BlockingIOError):  # it is full of bytes that end the wait too
            os.write(self._wake_writer, b"\0")

    @contextlib.contextmanager
    def opened(self) -> Generator[None]:
        """Take the terminal for this block. Whatever ends the block, the terminal is then as it was."""
        previous = termios.tcgetattr(self._input)
        handlers = {
            signal.SIGTSTP: self._handle_stop, signal.SIGCONT: self._handle_resume, signal.SIGWINCH: self._handle_resize
        }  # fmt: skip
        previous_handlers = {number: signal.getsignal(number) for number in handlers}
        previous_descriptor = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        try:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._saved = previous
            self._enter(previous)
            yield
        finally:
            # A second Ctrl-C must not interrupt this.
            with _blocked():
                self._leave(previous)
                for number, previous_handler in previous_handlers.items():
                    signal.signal(number, previous_handler)
                signal.set_wakeup_fd(previous_descriptor)

    def wait(self, seconds: float) -> list[str]:
        """Wait for keys at most this long, and return them. A signal, or `wake`, ends the wait earlier.

        Raises KeyboardInterrupt for Ctrl-C, and Terminated for a signal or if the terminal is gone.
        """
        if self._keys.is_in_sequence:
            seconds = min(seconds, _SEQUENCE_SECONDS)
        ready = waiting.ready([self._input, self._wake_reader], max(seconds, 0.0))
        if self._wake_reader in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_reader, 4096)
        if self._must_stop:
            self._stop()
        elif self._must_resume:
            # Stopped by SIGSTOP, without a chance to leave the screen: the shell has changed the terminal.
            self._must_resume = False
            self._leave(self._saved)
            self._enter(self._saved)
        if self._input not in ready:
            return self._keys.flush() if self._keys.is_in_sequence and not ready else []
        try:
            data = os.read(self._input, 1024)
        except OSError:
            data = b""
        if not data:
            raise errors.Terminated(signal.SIGHUP)
        return self._keys.feed(data)

    def _stop(self) -> None:
        """Leave the screen, stop as Ctrl-Z asks, and enter the screen again when the process continues."""
        self._leave(self._saved)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._handle_stop)
        self._must_stop = self._must_resume = False
        self._enter(self._saved)

    def _enter(self, settings: list[Any]) -> None:
        with _blocked():
            changed = list(settings)
            # Keys come one by one and are not echoed. Ctrl-C and Ctrl-Z remain signals; Ctrl-\ would leave the
            # terminal as it is now.
            changed[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON)
            characters = list(changed[_CONTROL_CHARACTERS])
            characters[termios.VMIN], characters[termios.VTIME], characters[termios.VQUIT] = 1, 0, b"\0"
            changed[_CONTROL_CHARACTERS] = characters
            self._is_entered = True
            termios.tcsetattr(self._input, termios.TCSADRAIN, changed)
            self._enter_screen()
            self.is_resized = True

    def _leave(self, settings: list[Any]) -> None:
        if not self._is_entered:
            return
        with _blocked():
            self._is_entered = False
            # Each can fail if the terminal is gone, and both must be tried.
            with contextlib.suppress(OSError):
                self._leave_screen()
            with contextlib.suppress(OSError, termios.error):
                # What was typed and not read must not go to the shell.
                termios.tcsetattr(self._input, termios.TCSAFLUSH, settings)

    def _handle_stop(self, _: int, __: FrameType | None) -> None:
        self._must_stop = True

    def _handle_resume(self, _: int, __: FrameType | None) -> None:
        self._must_resume = True

    def _handle_resize(self, _: int, __: FrameType | None) -> None:
        self.is_resized = True


@contextlib.contextmanager
def _blocked() -> Generator[None]:
    """Keep signals waiting during this block."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
