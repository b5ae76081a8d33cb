"""Where the command line keeps its threads: SQLite in the user's data directory, or PostgreSQL where it is told so."""

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

import platformdirs
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import StateSnapshot

from llamaberry.graph.calls import NO_USAGE, stored_calls, total
from llamaberry.graph.errors import SetupError
from llamaberry.graph.workflow import ReasoningGraph, build_graph

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from psycopg import AsyncConnection

_NEW_QUESTION = {
    "turns": [],
    "calls": [],
    "answer": "",
    "concise_answer": "",
    "usage": NO_USAGE,
    "stop_reason": None,
    "degraded": None,
}

BUSY_S = 5  # how long to wait for another process that writes


class Thread(NamedTuple):
    """A thread as it stands: its newest checkpoint."""

    name: str
    state: StateSnapshot

    @property
    def cut(self) -> bool:
        """Whether its last run was cut, and can be resumed."""
        # Not `next`: that is empty, too, where a kill fell between a node's writes and the checkpoint after them.
        return bool(self.state.tasks)

    @property
    def values(self) -> dict[str, Any]:
        """The state of its last question; before that question's first turn, without the turns of the one before."""
        return current_values(self.state)


def current_values(state: StateSnapshot) -> dict[str, Any]:
    """Return the state of a checkpoint's own question, without what is left of the question before it."""
    if state.next and state.next[0] in ("__start__", "first_turn"):
        return {**state.values, **_NEW_QUESTION}
    calls = stored_calls(state.values)
    return {**state.values, "calls": calls, "usage": state.values.get("usage") or total(calls)}


def data_folder() -> Path:
    """Return LLAMABERRY_HOME, else the user's data directory."""
    home = os.environ.get("LLAMABERRY_HOME")
    return Path(home).expanduser() if home else platformdirs.user_data_path("llamaberry")


def checkpoint_location() -> str:
    """Return LLAMABERRY_CHECKPOINTS (a file, "postgresql://…" or "none"), else threads.sqlite in the data directory."""
    if chosen := os.environ.get("LLAMABERRY_CHECKPOINTS"):
        return chosen
    return str(data_folder() / "threads.sqlite")


def new_name() -> str:
    """Return a name for a thread that the user did not name: when it began, and a few letters against a clash."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"


def thread_config(name: str, **metadata: str) -> RunnableConfig:
    """Return the config of a run on the thread; `metadata` goes to the metadata of its checkpoints."""
    return {"configurable": {"thread_id": name, **metadata}, "metadata": {"thread_id": name}}


@asynccontextmanager
async def open_graph() -> AsyncIterator[ReasoningGraph]:
    """Open the graph with the user's threads.

    Raises:
        SetupError: they cannot be kept there: the message says where, why and what to do.
    """
    where = checkpoint_location()
    if where == "none":
        yield build_graph()
        return
    async with _postgres(where) if "://" in where else _sqlite(where) as saver:
        yield build_graph(saver)


@asynccontextmanager
async def _sqlite(where: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = _private(where)
    async with aiosqlite.connect(path, timeout=BUSY_S) as connection:
        saver = AsyncSqliteSaver(connection)
        try:
            await _prepare(saver)
            yield saver
        except sqlite3.DatabaseError as error:
            if "locked" in str(error) or "readonly" in str(error) or "full" in str(error):
                raise SetupError(f"{path} cannot be used ({error}): end the process that holds it") from error
            raise SetupError(f"{path} is damaged ({error}): move it away, and a new one is made") from error


async def _prepare(saver: "AsyncSqliteSaver") -> None:
    """Make the tables, and see now, not in mid-run, whether they can be written and are ours.

    While another process makes the same new file ready, SQLite says "locked" at once, whatever its time-out.
    """
    patience = time.monotonic() + BUSY_S
    while True:
        try:
            await saver.setup()
            await saver.conn.execute("BEGIN IMMEDIATE")
            await saver.conn.rollback()
            await saver.conn.execute("SELECT thread_id, checkpoint_ns, checkpoint FROM checkpoints LIMIT 1")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > patience:
                raise
            await asyncio.sleep(0.05)


def _private(where: str) -> Path:
    """Make the file where it is not there. Questions and answers are the user's own: nobody else may read them."""
    path = Path(where).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if path.is_file():
            path.chmod(0o600)
    except OSError as error:
        raise SetupError(f"{path} cannot be opened ({error.strerror}): set LLAMABERRY_HOME elsewhere") from error
    return path


@asynccontextmanager
async def checkpoints_at(path: Path) -> "AsyncIterator[AsyncSqliteSaver]":
    """Open checkpoints that serve to resume what is being made beside them; raise SetupError where they are damaged."""
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with aiosqlite.connect(path) as connection:
        saver = AsyncSqliteSaver(connection)
        try:
            await saver.setup()
        except sqlite3.Error as error:
            raise SetupError(f"{path} cannot be used ({error}): delete it") from error
        yield saver


@asynccontextmanager
async def _postgres(address: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    try:
        import psycopg
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    except ImportError as missing:
        raise SetupError(
            'LLAMABERRY_CHECKPOINTS names PostgreSQL, which needs: pip install "llamaberry[postgres]"'
        ) from missing
    patient = address
    if "connect_timeout" not in address:
        patient += ("&" if "?" in address else "?") + "connect_timeout=10"
    try:
        async with AsyncPostgresSaver.from_conn_string(patient) as saver:
            connection = cast("AsyncConnection[Any]", saver.conn)
            await _alone(connection)
            await saver.setup()
            await connection.execute("SELECT pg_advisory_unlock_all()")
            yield saver
    except psycopg.Error as error:
        # The address holds a password: it is not repeated.
        raise SetupError(f"LLAMABERRY_CHECKPOINTS: PostgreSQL failed ({type(error).__name__}): check it") from None


async def _alone(connection: "AsyncConnection[Any]") -> None:
    """Wait until no other process makes the tables: two at the same moment would fail.

    The lock is tried, not awaited: an index made concurrently waits for every statement that is under way.
    """
    patience = time.monotonic() + BUSY_S
    while time.monotonic() < patience:
        lock = await connection.execute("SELECT pg_try_advisory_lock(hashtext('llamaberry threads')) AS ours")
        if await lock.fetchone() == {"ours": True}:
            return
        await asyncio.sleep(0.05)


def storage_errors() -> tuple[type[Exception], ...]:
    """Return what a store may raise in the middle of a run."""
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error, psycopg.Error) if psycopg else (sqlite3.Error,)


def require_checkpointer(graph: ReasoningGraph) -> BaseCheckpointSaver[Any]:
    """Return the graph's store; raise SetupError where the user wants none."""
    if isinstance(graph.checkpointer, BaseCheckpointSaver):
        return graph.checkpointer
    raise SetupError("LLAMABERRY_CHECKPOINTS is none: no threads are kept")


async def list_threads(graph: ReasoningGraph) -> list[Thread]:
    """Return all threads, the newest first."""
    names: dict[str, None] = {}
    async for point in require_checkpointer(graph).alist(None):
        names.setdefault(point.config["configurable"]["thread_id"])
    threads = [Thread(name, await graph.aget_state(thread_config(name))) for name in names]
    return sorted(threads, key=lambda thread: thread.state.created_at or "", reverse=True)


async def find_thread(graph: ReasoningGraph, name: str) -> Thread:
    """Return the thread of this name; raise SetupError where there is none."""
    require_checkpointer(graph)
    thread = Thread(name, await graph.aget_state(thread_config(name)))
    if thread.state.created_at is None:
        raise SetupError(f"there is no thread {name!r}: `llamaberry history` lists them")
    return thread


async def answered(graph: ReasoningGraph, name: str) -> list[dict[str, Any]]:
    """Return the state at the end of each question of the thread, the oldest first, and of the one that was cut."""
    states: list[dict[str, Any]] = []
    newest = True
    async for point in graph.aget_state_history(thread_config(name)):
        if newest or not point.next:
            states.append(current_values(point))
        newest = False
    return states[::-1]


async def forget(graph: ReasoningGraph, name: str) -> None:
    """Delete the thread with all its checkpoints; raise SetupError where there is none."""
    await find_thread(graph, name)
    await require_checkpointer(graph).adelete_thread(name)
