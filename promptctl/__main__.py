"""Where a process begins and ends."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line on this process's arguments; does not return."""
    # A command lives for milliseconds: collecting its garbage, and taking the interpreter apart, is time for nothing.
    gc.disable()
    try:
        from promptctl.cli import endings

        code = endings.run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anybody to hear it
        code = 130
    os._exit(code)


if __name__ == "__main__":
    main()
