"""Where threads are stored, which file locks one, how a new one is named, and what errors say. Cheap to import."""

import hashlib
import os
import sqlite3
import uuid
from datetime import datetime
from pathlib import Path
from typing import Literal

from llamaberry.folders import data_folder, expand_user
from llamaberry.graph.errors import SetupError

Status = Literal["running", "waiting for review", "interrupted", "failed", "answered"]
"""Whether a thread's last run goes on, is paused, was interrupted, failed (a model call did), or has its answer."""

BUSY_TIMEOUT_S = 5  # wait for another process that writes

_SQLITE_REMEDIES = {
    "locked": "end the process that holds it",
    "readonly": "make the file and its folder writable",
    "full": "free space on its disk",
    "disk I/O": "check its disk, and the limits of this process",
}


def checkpoint_location() -> str:
    """Return LLAMABERRY_CHECKPOINTS (a file, "postgresql://…" or "none"), else threads.sqlite in the data directory.

    Raises:
        SetupError: it is the address of another database.
    """
    if chosen := os.environ.get("LLAMABERRY_CHECKPOINTS"):
        scheme, separator, _ = chosen.partition("://")
        if separator and scheme not in ("postgresql", "postgres"):  # the rest may hold a password
            raise SetupError(f"LLAMABERRY_CHECKPOINTS is {scheme}://…: set it to a file, postgresql://… or none")
        return chosen
    return str(data_folder() / "threads.sqlite")


def lock_path(location: str, name: str) -> Path:
    """Return the lock file of a thread in SQLite: beside the database itself, not beside a link to it."""
    database = Path(os.path.realpath(expand_user(location, "LLAMABERRY_CHECKPOINTS")))
    return database.with_name(f"{database.name}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock")


def new_name() -> str:
    """Return a name for a new thread: the time, and a random suffix."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"


def unfinished_status(errors: list[str], *, paused: bool) -> Status:
    """Return the status of a run that has not ended; LangGraph stored `errors`, or a pause, for its next step."""
    if paused:
        return "waiting for review"
    # It stores them as text, and also that Ctrl-C cancelled the step.
    return "failed" if any(not error.startswith("CancelledError") for error in errors) else "interrupted"


def sqlite_error(path: Path, error: sqlite3.Error) -> SetupError:
    """Return the error for a database that cannot be used, with the remedy."""
    for cause, remedy in _SQLITE_REMEDIES.items():
        if cause in str(error):
            return SetupError(f"{path} cannot be used ({error}): {remedy}")
    return SetupError(f"{path} is damaged ({error}): move it away or delete it, to get a new one")


def is_running_elsewhere(name: str) -> SetupError:
    """Return the error for a thread that another process uses."""
    return SetupError(f"thread {name!r} is running in another process: wait until it ends, or stop that process")


def no_thread(name: str) -> SetupError:
    """Return the error for a thread that does not exist."""
    return SetupError(f"there is no thread {name!r}: `llamaberry history` lists them")


def no_threads() -> SetupError:
    """Return the error for a command that needs the newest thread, if there is none."""
    return SetupError("no thread is stored yet: `llamaberry ask` starts one")


def threads_off() -> SetupError:
    """Return the error for a command that needs threads, if the user has switched them off."""
    return SetupError("LLAMABERRY_CHECKPOINTS is none: no threads are stored")
