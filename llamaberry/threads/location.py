"""Where threads are stored, which file locks one, and how a new one is named. Cheap to import."""

import hashlib
import os
import uuid
from datetime import datetime
from pathlib import Path

from llamaberry.folders import data_folder, expand_user


def checkpoint_location() -> str:
    """Return LLAMABERRY_CHECKPOINTS (a file, "postgresql://…" or "none"), else threads.sqlite in the data directory."""
    if chosen := os.environ.get("LLAMABERRY_CHECKPOINTS"):
        return chosen
    return str(data_folder() / "threads.sqlite")


def lock_path(location: str, name: str) -> Path:
    """Return the lock file of a thread in SQLite: beside the database itself, not beside a link to it."""
    database = Path(os.path.realpath(expand_user(location, "LLAMABERRY_CHECKPOINTS")))
    return database.with_name(f"{database.name}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock")


def new_name() -> str:
    """Return a name for a new thread: the time, and a random suffix."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
