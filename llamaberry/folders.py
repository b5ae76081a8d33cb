"""Where Llamaberry stores files: below LLAMABERRY_HOME if that is set, otherwise in the user's own directories."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import platformdirs

from llamaberry.graph.errors import SetupError


def data_folder() -> Path:
    """Return the folder of threads and traces. Raises SetupError if the user has no home directory."""
    return _folder(platformdirs.user_data_path)


def cache_folder() -> Path:
    """Return the folder of downloads, which can be repeated. Raises SetupError if the user has no home directory."""
    return _folder(platformdirs.user_cache_path)


def config_folder() -> Path:
    """Return the folder of the user's own defaults. Raises SetupError if the user has no home directory."""
    return _folder(platformdirs.user_config_path)


def expand_user(path: str | Path, name: str) -> Path:
    """Return the path with a leading `~` or `~user` replaced; `name` is that of the setting, for the error's message.

    Raises:
        SetupError: there is no such user, or the user has no home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise SetupError(f"{name} {path}: {user} is no home directory on this machine: write the whole path") from None


def open_private(path: Path, mode: str) -> BinaryIO:
    """Open a binary file to write; a new one is readable by its owner only: it holds questions and answers.

    The mode of an existing file stays as its owner has set it. SQLite gives the files beside it (-wal, -shm) the same.
    """
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))  # type: ignore[return-value]


def write_private(path: Path, text: str) -> None:
    """Write a text in UTF-8 to a file, as `open_private` opens it."""
    with open_private(path, "wb") as file:
        file.write(text.encode())


def _folder(of_user: Callable[[str], Path]) -> Path:
    if home := os.environ.get("LLAMABERRY_HOME"):
        return expand_user(home, "LLAMABERRY_HOME")
    with suppress(RuntimeError):
        folder = of_user("llamaberry")
        if folder.is_absolute():  # older versions of platformdirs leave a `~` in it
            return folder
    raise SetupError("you have no home directory (HOME is not set): set LLAMABERRY_HOME to a folder for your files")
