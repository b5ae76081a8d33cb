"""The threads of the command line: SQLite in the user's data directory, or what LLAMABERRY_CHECKPOINTS names."""

import asyncio
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import StateSnapshot

from llamaberry.folders import data_folder
from llamaberry.graph.calls import NO_USAGE, stored_calls, total
from llamaberry.graph.errors import SetupError
from llamaberry.graph.workflow import ReasoningGraph, build_graph

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from psycopg import AsyncConnection

_NEW_QUESTION: dict[str, Any] = {
    "turns": [],
    "calls": [],
    "answer": "",
    "concise_answer": "",
    "usage": NO_USAGE,
    "stop_reason": None,
    "degraded": None,
}

BUSY_TIMEOUT_S = 5  # wait for another process that writes


class Thread(NamedTuple):
    """A thread, by its newest checkpoint."""

    name: str
    state: StateSnapshot

    @property
    def interrupted(self) -> bool:
        """Whether its last run did not end, and can be resumed."""
        # `next` would not do: it is also empty after a kill between a node's writes and the next checkpoint.
        return bool(self.state.tasks)

    @property
    def values(self) -> dict[str, Any]:
        """The state of its last question."""
        return current_values(self.state)


def current_values(state: StateSnapshot) -> dict[str, Any]:
    """Return the values of a checkpoint; before a question's first turn, without those of the previous question."""
    if state.next and state.next[0] in ("__start__", "first_turn"):
        return {**state.values, **_NEW_QUESTION}
    calls = stored_calls(state.values)
    return {**state.values, "calls": calls, "usage": state.values.get("usage") or total(calls)}


def checkpoint_location() -> str:
    """Return LLAMABERRY_CHECKPOINTS (a file, "postgresql://…" or "none"), else threads.sqlite in the data directory."""
    if chosen := os.environ.get("LLAMABERRY_CHECKPOINTS"):
        return chosen
    return str(data_folder() / "threads.sqlite")


def new_name() -> str:
    """Return a name for a new thread: the time, and a random suffix."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"


def thread_config(name: str, **metadata: str) -> RunnableConfig:
    """Return the config of a run on the thread; `metadata` goes to the metadata of its checkpoints."""
    return {"configurable": {"thread_id": name, **metadata}, "metadata": {"thread_id": name}}


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
            if "locked" in str(error) or "readonly" in str(error) or "full" in str(error):
                raise SetupError(f"{path} cannot be used ({error}): end the process that holds it") from error
            raise SetupError(f"{path} is damaged ({error}): move it away or delete it, to get a new one") from error


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
    path = Path(location).expanduser()
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
            await _create_postgres_tables(saver, cast("AsyncConnection[Any]", saver.conn))
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
    raise SetupError("LLAMABERRY_CHECKPOINTS is none: no threads are stored")


async def list_threads(graph: ReasoningGraph) -> list[Thread]:
    """Return all threads, newest first."""
    names: dict[str, None] = {}
    async for point in require_checkpointer(graph).alist(None):
        names.setdefault(point.config["configurable"]["thread_id"])
    threads = [Thread(name, await graph.aget_state(thread_config(name))) for name in names]
    return sorted(threads, key=lambda thread: thread.state.created_at or "", reverse=True)


async def find_thread(graph: ReasoningGraph, name: str) -> Thread:
    """Return the thread of this name; raise SetupError if it does not exist."""
    require_checkpointer(graph)
    thread = Thread(name, await graph.aget_state(thread_config(name)))
    if thread.state.created_at is None:
        raise SetupError(f"there is no thread {name!r}: `llamaberry history` lists them")
    return thread


async def question_states(graph: ReasoningGraph, name: str) -> list[dict[str, Any]]:
    """Return the last state of each question of the thread, oldest first; an interrupted one is included."""
    states: list[dict[str, Any]] = []
    newest = True
    async for point in graph.aget_state_history(thread_config(name)):
        if newest or not point.next:
            states.append(current_values(point))
        newest = False
    return states[::-1]


async def forget(graph: ReasoningGraph, name: str) -> None:
    """Delete the thread with all its checkpoints; raise SetupError if it does not exist."""
    await find_thread(graph, name)
    await require_checkpointer(graph).adelete_thread(name)
