"""The entry point of the command line."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line with this process's arguments; does not return."""
    # A command runs for milliseconds: collecting garbage and finalizing the interpreter would only cost time.
    gc.disable()
    try:
        from promptctl.cli import endings

        code = endings.run(sys.argv[1:])
    except KeyboardInterrupt:  # before `endings` handles it
        code = 130
    os._exit(code)


if __name__ == "__main__":
    main()
