"""Files and folders that were named on the command line: what is wrong with them is said before anything begins."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError

__all__ = ["check_file", "make_folder"]


def check_file(option: str, path: Path) -> None:
    """Make sure that a file can be written, without writing it.

    Raises:
        ConfigError: it cannot.
    """
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(f"{option} {path} cannot be written")


def make_folder(option: str, folder: Path, *names: str) -> None:
    """Make a folder, if it is not there, in which files of these names can be written.

    Raises:
        ConfigError: it cannot be made, or one of them cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option} {folder} cannot be made: {error.strerror or error}") from error
    for name in names:
        check_file(option, folder / name)
