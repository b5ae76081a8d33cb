"""Where Llamaberry stores files: below LLAMABERRY_HOME if that is set, otherwise in the user's own directories."""

import os
from pathlib import Path

import platformdirs


def data_folder() -> Path:
    """Return the folder of threads and traces."""
    return _home() or platformdirs.user_data_path("llamaberry")


def cache_folder() -> Path:
    """Return the folder of downloads, which can be repeated."""
    return _home() or platformdirs.user_cache_path("llamaberry")


def _home() -> Path | None:
    home = os.environ.get("LLAMABERRY_HOME")
    return Path(home).expanduser() if home else None
