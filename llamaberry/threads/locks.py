"""One run at a time on a thread. A lock ends with the process that holds it, however that ends.

Threads in SQLite are locked by a file beside the database, threads in PostgreSQL by an advisory lock of the session.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from llamaberry import file_lock
from llamaberry.graph.errors import SetupError
from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.threads.location import checkpoint_location, is_running_elsewhere, lock_path

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

_POLL_S = 0.1
_GRACE_S = 0.5  # `history` holds a lock for an instant; that is not worth a message


@asynccontextmanager
async def exclusive_thread(
    graph: ReasoningGraph, name: str, *, on_wait: Callable[[], None] | None = None
) -> AsyncIterator[None]:
    """Hold the thread's lock: no other run uses it before the block ends.

    `on_wait` is called once if another run holds the lock; then this waits until that run ends. Without it, it raises.

    Raises:
        SetupError: another run holds the lock, or it cannot be created.
    """
    if not graph.checkpointer:
        yield
        return
    location = checkpoint_location()
    lock = _PostgresLock(graph, name) if "://" in location else _FileLock(location, name)
    started_at = asyncio.get_running_loop().time()
    notified = False
    while not await lock.acquire():
        waited_s = asyncio.get_running_loop().time() - started_at
        if waited_s > _GRACE_S and on_wait is None:
            raise is_running_elsewhere(name)
        if waited_s > _GRACE_S and on_wait and not notified:
            on_wait()
            notified = True
        await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        await lock.release()


async def is_running(graph: ReasoningGraph, name: str) -> bool:
    """Whether a living run uses the thread."""
    location = checkpoint_location()
    if "://" not in location:
        return file_lock.is_locked(lock_path(location, name))
    # PostgreSQL shows a key of 64 bits in halves, with objsubid 1.
    query = (
        "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND (classid::bigint << 32) | objid::bigint = %s "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    cursor = await _connection(graph).execute(query, (_key(name),))
    return await cursor.fetchone() is not None


class _FileLock:
    def __init__(self, location: str, name: str) -> None:
        self._path = lock_path(location, name)
        self._descriptor: int | None = None

    async def acquire(self) -> bool:
        try:
            self._descriptor = file_lock.acquire(self._path)
        except OSError as error:
            message = f"{self._path} cannot be locked ({error.strerror}): fix that, or set LLAMABERRY_CHECKPOINTS"
            raise SetupError(f"{message} to a file elsewhere") from error
        return self._descriptor is not None

    async def release(self) -> None:
        if self._descriptor is not None:
            file_lock.release(self._path, self._descriptor)


class _PostgresLock:
    def __init__(self, graph: ReasoningGraph, name: str) -> None:
        self._connection, self._key = _connection(graph), _key(name)

    async def acquire(self) -> bool:
        cursor = await self._connection.execute("SELECT pg_try_advisory_lock(%s) AS acquired", (self._key,))
        return bool((await cursor.fetchone())["acquired"])

    async def release(self) -> None:
        """Leave it to the end of the connection, which also may have ended it already."""


def _connection(graph: ReasoningGraph) -> Any:
    return cast("AsyncPostgresSaver", graph.checkpointer).conn


def _key(name: str) -> int:
    """Return the key of the thread's advisory lock, a signed number of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"llamaberry thread {name}".encode()).digest()[:8], signed=True)
