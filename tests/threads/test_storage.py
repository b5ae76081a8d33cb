"""The connection to the threads in SQLite."""

import asyncio
from pathlib import Path

from langgraph.checkpoint.base import empty_checkpoint

from llamaberry.threads import open_sqlite, thread_config


async def test_the_last_writes_end_before_the_connection_closes(tmp_path: Path) -> None:
    """LangGraph leaves them behind when a run is cancelled; cut, they would leave the database locked."""
    config = thread_config("T")
    config["configurable"]["checkpoint_ns"] = ""
    async with open_sqlite(tmp_path / "threads.sqlite") as saver:
        stored = await saver.aput(config, empty_checkpoint(), {}, {})
        writes = [asyncio.create_task(saver.aput_writes(stored, [("key", n)], f"task {n}")) for n in range(3)]
    assert [write.done() and write.exception() for write in writes] == [None] * 3
    async with open_sqlite(tmp_path / "threads.sqlite") as saver:
        point = await saver.aget_tuple(stored)
        assert point
        assert [value for _, _, value in point.pending_writes or ()] == [0, 1, 2]
