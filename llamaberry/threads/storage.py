"""Where threads are stored: SQLite in the user's data directory, or what LLAMABERRY_CHECKPOINTS names."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import StateSnapshot

from llamaberry.folders import expand_user
from llamaberry.graph.errors import SetupError
from llamaberry.graph.workflow import ReasoningGraph, build_graph
from llamaberry.threads.location import BUSY_TIMEOUT_S, checkpoint_location, sqlite_error, threads_off
from llamaberry.threads.plain import WITH_NEXT_STEP

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from psycopg import AsyncConnection

_CYCLES_TO_START = 5  # of the event loop, in which a write that LangGraph has handed over takes the saver's lock
_KEEPALIVES = (
    "SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)
"""The server ends the session of a dead host, with its locks, after a minute instead of hours."""


@asynccontextmanager
async def open_graph() -> AsyncIterator[ReasoningGraph]:
    """Open the graph with the user's threads.

    Raises:
        SetupError: the threads cannot be opened there; the message says where, why and how to fix it.
    """
    location = checkpoint_location()
    if location == "none":
        yield build_graph()
        return
    async with _open_postgres(location) if "://" in location else open_sqlite(location) as saver:
        yield build_graph(saver)


@asynccontextmanager
async def open_sqlite(location: str | Path) -> "AsyncIterator[AsyncSqliteSaver]":
    """Open the checkpoints in an SQLite file; raise SetupError, also later, if it cannot be used or is damaged."""
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = _create_private_file(location)
    async with aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S) as connection:
        saver = AsyncSqliteSaver(connection)
        try:
            await _create_tables(saver)
            yield saver
        except sqlite3.DatabaseError as error:
            raise sqlite_error(path, error) from error
        finally:
            await _finish_writes(saver)


async def _finish_writes(saver: "AsyncSqliteSaver") -> None:
    """Wait for LangGraph's last writes: it leaves that of a cancelled step's error behind, perhaps not yet started.

    If the connection were closed in the middle of one, the database would stay locked.
    """
    for _ in range(_CYCLES_TO_START):
        await asyncio.sleep(0)
        async with saver.lock:
            pass


async def _create_tables(saver: "AsyncSqliteSaver") -> None:
    """Create the tables, and check that they can be written and read before the run depends on it.

    While another process sets up the same new file, SQLite reports "locked" at once, whatever its timeout.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            await saver.setup()
            await saver.conn.execute("BEGIN IMMEDIATE")
            await saver.conn.rollback()
            await saver.conn.execute("SELECT thread_id, checkpoint_ns, checkpoint FROM checkpoints LIMIT 1")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


def _create_private_file(location: str | Path) -> Path:
    """Create the file if it is missing, readable by its owner only: it holds the user's questions and answers."""
    path = expand_user(location, "LLAMABERRY_CHECKPOINTS")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if path.is_file():
            path.chmod(0o600)
    except OSError as error:
        raise SetupError(f"{path} cannot be opened ({error.strerror}): set LLAMABERRY_HOME elsewhere") from error
    return path


@asynccontextmanager
async def _open_postgres(address: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    try:
        import psycopg
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise SetupError(
            'LLAMABERRY_CHECKPOINTS names PostgreSQL, which needs: pip install "llamaberry[postgres]"'
        ) from error
    try:
        conninfo = make_conninfo(address, connect_timeout=conninfo_to_dict(address).get("connect_timeout", 10))
        async with AsyncPostgresSaver.from_conn_string(conninfo) as saver:
            connection = cast("AsyncConnection[Any]", saver.conn)
            await connection.execute(_KEEPALIVES)
            await _create_postgres_tables(saver, connection)
            yield saver
    except psycopg.Error as error:
        # The error may repeat the address, which holds a password.
        raise SetupError(f"LLAMABERRY_CHECKPOINTS: PostgreSQL failed ({type(error).__name__}): check it") from None


async def _create_postgres_tables(saver: "AsyncPostgresSaver", connection: "AsyncConnection[Any]") -> None:
    """Create the tables, under a lock: two processes that create them at the same moment would fail.

    The lock is polled: a blocking wait would be a running statement, for which CREATE INDEX CONCURRENTLY waits.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while time.monotonic() < deadline:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtext('llamaberry threads')) AS acquired")
        if await cursor.fetchone() == {"acquired": True}:
            break
        await asyncio.sleep(0.05)
    await saver.setup()
    await connection.execute("SELECT pg_advisory_unlock_all()")


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a checkpointer may raise during a run."""
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error, psycopg.Error) if psycopg else (sqlite3.Error,)


def require_checkpointer(graph: ReasoningGraph) -> BaseCheckpointSaver[Any]:
    """Return the graph's checkpointer; raise SetupError if the user has switched it off."""
    if isinstance(graph.checkpointer, BaseCheckpointSaver):
        return graph.checkpointer
    raise threads_off()


async def forget_steps(graph: ReasoningGraph, before: StateSnapshot) -> None:
    """Delete the steps that led to this state and to the ends of earlier questions, which stay, if SQLite stores them.

    Each checkpoint has the whole conversation so far: with all steps of all questions a thread is four times as large.
    """
    saver: Any = require_checkpointer(graph)
    if before.created_at is None or not hasattr(saver.conn, "execute_fetchall"):
        return
    ids = {key: before.config["configurable"][f"{key}_id"] for key in ("thread", "checkpoint")}
    steps = f"thread_id = :thread AND checkpoint_id < :checkpoint AND checkpoint_id IN ({WITH_NEXT_STEP})"
    for table in ("writes", "checkpoints"):  # in this order: the second one has the links
        await saver.conn.execute(f"DELETE FROM {table} WHERE checkpoint_ns = '' AND {steps}", ids)
    await saver.conn.commit()


async def discard_since(graph: ReasoningGraph, before: StateSnapshot) -> None:
    """Delete what the thread got after this state, its newest at the time: all of it if there was no thread."""
    saver: Any = require_checkpointer(graph)
    thread_id, checkpoint_id = (before.config["configurable"].get(key) for key in ("thread_id", "checkpoint_id"))
    if checkpoint_id is None:
        await saver.adelete_thread(thread_id)
        return
    # Checkpointers have no method for it.
    is_sqlite = hasattr(saver.conn, "execute_fetchall")
    for table in ("checkpoints", "writes") if is_sqlite else ("checkpoints", "checkpoint_writes"):
        query = f"DELETE FROM {table} WHERE thread_id = %s AND checkpoint_id > %s"
        await saver.conn.execute(query.replace("%s", "?") if is_sqlite else query, (thread_id, checkpoint_id))
    if is_sqlite:
        await saver.conn.commit()
