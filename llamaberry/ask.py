"""One question from the command line: stream the graph, and show it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, cast

from langchain_core.messages import AIMessageChunk
from langgraph.types import StreamMode, StreamPart

from llamaberry import local_server
from llamaberry.display import Display, Show
from llamaberry.graph.context import Context
from llamaberry.graph.workflow import graph


def answer(question: str, context: Context, *, show: Show | Literal["quiet", "json"]) -> bool:
    """Ask, and print to standard output. Returns False where Ctrl-C ended it, after printing what there was.

    Raises as the graph does: ValidationError, SetupError, ModelError.
    """
    display = Display(show)
    begun = time.monotonic()
    state: dict[str, Any] = {}
    try:
        asyncio.run(_stream(question, context, display, state))
        whole = True
    except KeyboardInterrupt:
        whole = False
    finally:
        local_server.close()
    display.result(state, seconds=time.monotonic() - begun, whole=whole)
    return whole


async def _stream(question: str, context: Context, display: Display, state: dict[str, Any]) -> None:
    """Run the graph; `state` holds what it has come to at any moment."""
    modes: list[StreamMode] = ["messages", "updates", "values"]
    stream = graph.astream({"query": question}, context=context, stream_mode=modes, version="v2")
    turns = 0
    # Closed before the loop is, whatever ends it: an interrupt, a reader of the pipe that has gone.
    async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
        async for part in parts:
            if part["type"] == "messages":
                message, metadata = part["data"]
                if isinstance(message, AIMessageChunk):
                    synthesis = metadata["langgraph_node"] == "synthesize"
                    display.token("synthesis" if synthesis else f"turn {turns + 1}", message.text)
            elif part["type"] == "updates":
                for update in part["data"].values():
                    for turn in update.get("turns", []):
                        turns = turn["index"]
                        display.turn(turn)
            elif part["type"] == "values":
                state.update(part["data"])
