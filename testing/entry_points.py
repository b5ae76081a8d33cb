"""The graph's entry points: sync and async, with and without streaming."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llamaberry import ModelError, graph

EntryPoint = Callable[[str, Any], Any]


def stream(question: str, settings: Any) -> Any:
    """Stream a run in this thread, and return its final state."""
    parts: Any = graph.stream({"query": question}, context=settings, stream_mode=["messages", "values"])
    *_, (_, state) = [part for part in parts if part[0] == "values"]
    return state


async def astream(question: str, settings: Any) -> Any:
    """Stream a run in this event loop, and return its final state."""
    parts: Any = graph.astream({"query": question}, context=settings, stream_mode=["messages", "values"])
    *_, (_, state) = [part async for part in parts if part[0] == "values"]
    return state


async def ainvoke(question: str, settings: Any) -> Any:
    """Run in this event loop."""
    return await graph.ainvoke({"query": question}, context=settings)


ENTRY_POINTS: dict[str, EntryPoint] = {
    "invoke": lambda question, settings: graph.invoke({"query": question}, context=settings),
    "stream": stream,
    "ainvoke": lambda question, settings: asyncio.run(ainvoke(question, settings)),
    "astream": lambda question, settings: asyncio.run(astream(question, settings)),
}


def ask_concurrently(entry_point: EntryPoint, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Run questions concurrently, each with its settings. Return question -> result or ModelError."""

    def run(question: str) -> Any:
        try:
            return entry_point(question, settings[question])
        except ModelError as error:
            return error

    with ThreadPoolExecutor(len(settings)) as pool:
        return dict(zip(settings, pool.map(run, settings), strict=True))
