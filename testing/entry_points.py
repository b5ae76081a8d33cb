"""Every way into the graph: sync and async, whole and streamed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llamaberry import ModelError, graph

Door = Callable[[str, Any], Any]


def stream(question: str, dials: Any) -> Any:
    """Run the graph with its tokens streamed, in this thread; return the last state."""
    parts: Any = graph.stream({"query": question}, context=dials, stream_mode=["messages", "values"])
    *_, (_, state) = [part for part in parts if part[0] == "values"]
    return state


async def astream(question: str, dials: Any) -> Any:
    """Run the graph with its tokens streamed, in this loop; return the last state."""
    parts: Any = graph.astream({"query": question}, context=dials, stream_mode=["messages", "values"])
    *_, (_, state) = [part async for part in parts if part[0] == "values"]
    return state


async def ainvoke(question: str, dials: Any) -> Any:
    return await graph.ainvoke({"query": question}, context=dials)


DOORS: dict[str, Door] = {
    "invoke": lambda question, dials: graph.invoke({"query": question}, context=dials),
    "stream": stream,
    "ainvoke": lambda question, dials: asyncio.run(ainvoke(question, dials)),
    "astream": lambda question, dials: asyncio.run(astream(question, dials)),
}


def all_at_once(door: Door, dials: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Ask these questions at the same time, so that their waits are one wait: question -> its result, or its error."""

    def one(question: str) -> Any:
        try:
            return door(question, dials[question])
        except ModelError as error:
            return error

    with ThreadPoolExecutor(len(dials)) as pool:
        return dict(zip(dials, pool.map(one, dials), strict=True))
