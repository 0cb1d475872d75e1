"""The entry point of the command line."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line with this process's arguments, and end the process with its exit code."""
    # A command runs for milliseconds, so collecting garbage and finalizing the interpreter would only cost time.
    gc.disable()
    try:
        from promptctl.cli import endings

        code = endings.run(sys.argv[1:])
    except KeyboardInterrupt:  # Ctrl-C before `endings` is imported, which handles a later one
        code = 130
    os._exit(code)


if __name__ == "__main__":
    main()
