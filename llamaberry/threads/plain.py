"""Threads in SQLite, read and deleted without LangGraph, whose import takes longer than everything else.

The tables are those of langgraph-checkpoint-sqlite, the values LangGraph's msgpack. A message, which would need its
class, is an object with the same attributes; no class is imported for what a file names.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from types import SimpleNamespace
from typing import Any, NamedTuple

import ormsgpack

from llamaberry import file_lock
from llamaberry.folders import expand_user
from llamaberry.graph.errors import SetupError
from llamaberry.threads.location import BUSY_TIMEOUT_S, is_running_elsewhere, lock_path, no_thread, sqlite_error

LOCK_GRACE_S = 0.5  # `history` holds a lock for an instant
_BRANCH = "branch:to:"
_MESSAGE_EXTENSION = 5  # LangGraph's code of a pydantic object: module, class, fields, method
_KEPT_WRITES = ("query", "answer")


class Checkpoint(NamedTuple):
    """A stored checkpoint, as far as a list or a printed run needs it."""

    thread: str
    created_at: str
    next_node: str | None
    """The step that has to run next; None at the end of a question."""
    values: dict[str, Any]


class PlainThread(NamedTuple):
    """A thread by its newest checkpoint."""

    newest: Checkpoint
    errors: list[str]
    """Those with which its next step ended."""
    paused: bool
    """Whether that step waits for a review."""


def thread_names(location: str) -> list[str]:
    """Return the names of all threads, the newest first."""
    query = "SELECT thread_id FROM checkpoints WHERE checkpoint_ns = '' GROUP BY 1 ORDER BY max(checkpoint_id) DESC"
    with _open(location) as database:
        return [name for (name,) in database.execute(query)] if database else []


def read_threads(location: str) -> list[PlainThread]:
    """Return all threads, the newest first."""
    newest = "SELECT thread_id, max(checkpoint_id) FROM checkpoints WHERE checkpoint_ns = '' GROUP BY thread_id"
    query = f"{_SELECT} AND (thread_id, checkpoint_id) IN ({newest})"
    with _open(location) as database:
        rows = database.execute(query).fetchall() if database else []
        threads = [_with_writes(database, row) for row in rows if database]
    return sorted(threads, key=lambda thread: thread.newest.created_at, reverse=True)


def read_questions(location: str, name: str, *, only_newest: bool = False) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of earlier questions that are left out, and the last state of each other one, oldest first.

    An interrupted question is included if it is the newest.

    Raises:
        SetupError: there is no such thread.
    """
    from llamaberry.threads.old_states import question_values  # with LangChain's messages, unlike the rest

    with _open(location) as database:
        count = _count_questions(database, name) if database else 0
        if not (database and count):
            raise no_thread(name)
        query = f"{_SELECT} AND {_QUESTION_ENDS} ORDER BY checkpoint_id LIMIT -1 OFFSET :skipped"
        skipped = count - 1 if only_newest else 0
        points = [_checkpoint(row) for row in database.execute(query, {"thread": name, "skipped": skipped})]
    last = [*(point for point in points[:-1] if point.next_node is None), points[-1]]
    return skipped, [question_values(point.values, point.next_node) for point in last]


def delete_thread(location: str, name: str) -> int:
    """Delete the thread, and return how many questions were asked on it.

    Raises:
        SetupError: there is no such thread, or it is running.
    """
    with _open(location) as database:
        if not (database and (questions := _count_questions(database, name))):
            raise no_thread(name)
        with _lock(location, name):
            for table in ("checkpoints", "writes"):
                database.execute(f"DELETE FROM {table} WHERE thread_id = ?", (name,))
            database.commit()
    return questions


def _count_questions(database: sqlite3.Connection, thread: str) -> int:
    query = f"SELECT count(*) FROM checkpoints WHERE checkpoint_ns = '' AND {_QUESTION_ENDS}"
    return int(database.execute(query, {"thread": thread}).fetchone()[0])


_SELECT = "SELECT thread_id, checkpoint_id, type, checkpoint FROM checkpoints WHERE checkpoint_ns = ''"
WITH_NEXT_STEP = (
    "SELECT parent_checkpoint_id FROM checkpoints WHERE checkpoint_ns = '' AND thread_id = :thread "
    "AND parent_checkpoint_id IS NOT NULL AND json_extract(CAST(metadata AS TEXT), '$.source') != 'input'"
)
"""The ids of a thread's checkpoints from which its question went on. On the others, a question ended."""
_QUESTION_ENDS = f"thread_id = :thread AND checkpoint_id NOT IN ({WITH_NEXT_STEP})"


@contextmanager
def _open(location: str) -> Iterator[sqlite3.Connection | None]:
    """Open the database; None if there is no file yet. An error becomes a SetupError that says what to do."""
    path = expand_user(location, "LLAMABERRY_CHECKPOINTS")
    try:
        os.close(os.open(path, os.O_RDWR))
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise SetupError(f"{path} cannot be opened ({error.strerror}): set LLAMABERRY_HOME elsewhere") from error
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoints'").fetchone():
                yield None  # a new file, or an empty one
                return
            yield database
    except sqlite3.DatabaseError as error:
        raise sqlite_error(path, error) from error


@contextmanager
def _lock(location: str, name: str) -> Iterator[None]:
    path = lock_path(location, name)
    deadline = time.monotonic() + LOCK_GRACE_S
    while (descriptor := file_lock.acquire(path)) is None:
        if time.monotonic() > deadline:
            raise is_running_elsewhere(name)
        time.sleep(0.05)
    try:
        yield
    finally:
        file_lock.release(path, descriptor)


def _checkpoint(row: tuple[str, str, str, bytes]) -> Checkpoint:
    name, _, kind, content = row
    checkpoint = _load(kind, content)
    values = checkpoint["channel_values"]
    pending = [channel.removeprefix(_BRANCH) for channel in values if channel.startswith((_BRANCH, "__start__"))]
    return Checkpoint(name, checkpoint["ts"], pending[0] if pending else None, values)


def _with_writes(database: sqlite3.Connection, row: tuple[str, str, str, bytes]) -> PlainThread:
    """Return a thread with what its next step has written: a run may have been killed before the checkpoint."""
    query = "SELECT channel, type, value FROM writes WHERE checkpoint_ns = '' AND thread_id = ? AND checkpoint_id = ?"
    newest, errors, paused = _checkpoint(row), [], False
    for channel, kind, value in database.execute(query, row[:2]):
        if channel == "__error__":
            errors.append(str(_load(kind, value)))
        elif channel == "__interrupt__":
            paused = True
        elif channel in _KEPT_WRITES and newest.next_node:
            newest.values[channel] = _load(kind, value)
    return PlainThread(newest, errors, paused)


def _load(kind: str, content: bytes) -> Any:
    if kind == "null":
        return None
    if kind != "msgpack":
        raise SetupError(f"a thread is stored as {kind!r}, which cannot be read: `llamaberry forget NAME` deletes it")
    return ormsgpack.unpackb(content, ext_hook=_extension, option=ormsgpack.OPT_NON_STR_KEYS)


def _extension(code: int, content: bytes) -> Any:
    value = ormsgpack.unpackb(content, ext_hook=_extension, option=ormsgpack.OPT_NON_STR_KEYS)
    if code == _MESSAGE_EXTENSION:
        with suppress(IndexError, TypeError):
            return SimpleNamespace(**value[2])
    return value
