"""Llamaberry in a FastAPI app: an answer as a whole or as server-sent events, and threads in SQLite.

    pip install fastapi uvicorn
    python examples/fastapi_app.py 8000
    curl -sN http://127.0.0.1:8000/threads/1/stream -H 'content-type: application/json' \
        -d '{"question": "What is 17 * 23?"}'

The threads are in threads.sqlite in the current folder: a second question on a thread sees the first, also after a
restart. If the client of a stream disconnects, the run is cancelled.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic import BaseModel, Field

from llamaberry import Context, LlamaberryError, ModelError, StreamEvent, astream_events, build_graph


class Question(BaseModel):
    """The body of a request. The caller sets what you let it set."""

    question: str = Field(min_length=1, max_length=10_000)
    max_turns: int = Field(default=2, ge=1, le=5)

    @property
    def context(self) -> Context:
        """The settings of the run."""
        return Context(max_turns=self.max_turns)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the threads, once for all requests."""
    async with AsyncSqliteSaver.from_conn_string("threads.sqlite") as checkpointer:
        app.state.graph = build_graph(checkpointer)
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(LlamaberryError)
async def failed(_request: Request, error: LlamaberryError) -> JSONResponse:
    """A failed run says why: the provider's failure, or what the server lacks (a key)."""
    return JSONResponse({"error": str(error)}, 502 if isinstance(error, ModelError) else 503)


@app.post("/threads/{thread}")
async def answer(thread: str, body: Question, request: Request) -> dict[str, Any]:
    """Answer a question of a thread."""
    config = {"configurable": {"thread_id": thread}}
    result = await request.app.state.graph.ainvoke({"query": body.question}, config, context=body.context)
    return {name: result[name] for name in ("answer", "concise_answer", "degraded")}


@app.post("/threads/{thread}/stream")
async def stream(thread: str, body: Question, request: Request) -> StreamingResponse:
    """Answer a question of a thread by events: `token`, and at last `answer` or `error`."""
    config = {"configurable": {"thread_id": thread}}
    run = astream_events(request.app.state.graph, {"query": body.question}, config, context=body.context)
    return StreamingResponse(send(run), media_type="text/event-stream")


async def send(events: AsyncGenerator[StreamEvent]) -> AsyncIterator[str]:
    """Yield the events of a run. It runs in a task of its own, which a disconnected client's request can cancel."""
    queue: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()

    async def run() -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    if event["type"] == "token":
                        queue.put_nowait(("token", event["text"]))
                    elif event["type"] == "run_finished":
                        queue.put_nowait(("answer", event["output"]["answer"]))
        except LlamaberryError as error:
            queue.put_nowait(("error", str(error)))
        finally:
            queue.put_nowait(None)

    running = asyncio.create_task(run())
    try:
        while event := await queue.get():
            yield f"event: {event[0]}\ndata: {json.dumps(event[1])}\n\n"
    finally:
        running.cancel()


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]) if sys.argv[1:] else 8000, log_level="warning")
