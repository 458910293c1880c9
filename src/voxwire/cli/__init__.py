"""The `voxwire` command.

Nothing is imported here but what says that something is missing.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from ..errors import VoxwireError

__all__ = ["main"]

_EXTRA = {"click", "rich", "typer"}


def main() -> None:
    """Run the command line; ends the process.

    Exit status: 0 if it worked, 1 if it did not, 2 if it was asked for something impossible, 130 after Ctrl-C.
    """
    try:
        from .app import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        _fail(f"the command line needs the package {error.name!r}: pip install 'voxwire[cli]'", 2)
    try:
        app()
    except VoxwireError as error:
        _fail(str(error), 2 if error.fault == "you" else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, status: int) -> NoReturn:
    print(f"voxwire: {message}", file=sys.stderr)
    sys.exit(status)
