"""Where the command line keeps its threads: SQLite in the user's data directory, or PostgreSQL where it is told so."""

import os
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import StateSnapshot

from llamaberry.graph.errors import SetupError
from llamaberry.graph.workflow import ReasoningGraph, build_graph

BUSY_S = 5  # how long to wait for another process that writes


class Thread(NamedTuple):
    """A thread as it stands: its newest checkpoint."""

    name: str
    state: StateSnapshot

    @property
    def cut(self) -> bool:
        """Whether its last run was cut, and can be resumed."""
        return bool(self.state.next)


def place() -> str:
    """Return LLAMABERRY_CHECKPOINTS (a file, "postgresql://…" or "none"), else threads.sqlite in the data directory."""
    if chosen := os.environ.get("LLAMABERRY_CHECKPOINTS"):
        return chosen
    home = os.environ.get("LLAMABERRY_HOME")
    folder = Path(home).expanduser() if home else platformdirs.user_data_path("llamaberry")
    return str(folder / "threads.sqlite")


def new_name() -> str:
    """Return a name for a thread that the user did not name: when it began, and a few letters against a clash."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"


def config_of(name: str, **metadata: str) -> RunnableConfig:
    """Return the config of a run on the thread; `metadata` goes to its checkpoints and its trace."""
    return {"configurable": {"thread_id": name}, "metadata": {"thread_id": name, **metadata}}


@asynccontextmanager
async def open_graph() -> AsyncIterator[ReasoningGraph]:
    """Open the graph with the user's threads.

    Raises:
        SetupError: they cannot be kept there: the message says where, why and what to do.
    """
    where = place()
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
            await saver.setup()
            await connection.execute("BEGIN IMMEDIATE")  # whether another process holds it shows now, not in mid-run
            await connection.rollback()
        except sqlite3.OperationalError as error:
            raise SetupError(f"{path} cannot be used ({error}): end the process that holds it") from error
        except sqlite3.DatabaseError as error:
            raise SetupError(f"{path} is damaged ({error}): move it away, and a new one is made") from error
        yield saver


def _private(where: str) -> Path:
    """Make the file where it is not there. Questions and answers are the user's own: nobody else may read them."""
    path = Path(where).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise SetupError(f"{path} cannot be opened ({error.strerror}): set LLAMABERRY_HOME elsewhere") from error
    return path


@asynccontextmanager
async def _postgres(address: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    try:
        import psycopg
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    except ImportError as missing:
        raise SetupError(
            'LLAMABERRY_CHECKPOINTS names PostgreSQL, which needs: pip install "llamaberry[postgres]"'
        ) from missing
    try:
        connection = AsyncPostgresSaver.from_conn_string(address)
        saver = await connection.__aenter__()
    except psycopg.Error as error:
        # The address holds a password: it is not repeated.
        raise SetupError(
            f"LLAMABERRY_CHECKPOINTS: PostgreSQL refused the connection ({type(error).__name__})"
        ) from None
    try:
        await saver.setup()
        yield saver
    finally:
        await connection.__aexit__(None, None, None)


async def list_threads(graph: ReasoningGraph) -> list[Thread]:
    """Return all threads, the newest first."""
    saver = graph.checkpointer
    names: dict[str, None] = {}
    if isinstance(saver, BaseCheckpointSaver):
        async for point in saver.alist(None):
            names.setdefault(point.config["configurable"]["thread_id"])
    threads = [Thread(name, await graph.aget_state(config_of(name))) for name in names]
    return sorted(threads, key=lambda thread: thread.state.created_at or "", reverse=True)


async def find_thread(graph: ReasoningGraph, name: str) -> Thread:
    """Return the thread of this name; raise SetupError where there is none."""
    thread = Thread(name, await graph.aget_state(config_of(name)))
    if thread.state.created_at is None:
        raise SetupError(f"there is no thread {name!r}: `llamaberry history` lists them")
    return thread


async def answered(graph: ReasoningGraph, name: str) -> list[dict[str, Any]]:
    """Return the state at the end of each question of the thread, the oldest first, and of the one that was cut."""
    states: list[dict[str, Any]] = []
    newest = True
    async for point in graph.aget_state_history(config_of(name)):
        if newest or not point.next:
            states.append(point.values)
        newest = False
    return states[::-1]


async def forget(graph: ReasoningGraph, name: str) -> None:
    """Delete the thread with all its checkpoints; raise SetupError where there is none."""
    await find_thread(graph, name)
    if isinstance(graph.checkpointer, BaseCheckpointSaver):
        await graph.checkpointer.adelete_thread(name)
