"""A door for OpenAI's clients, on the server that langgraph.json describes: chat completions, with presets for models.

A thin skin over the graph: the turns stream as `reasoning_content`, the answer is the `content`. docs/openai.md says
what maps onto what.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import reduce
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage
from langgraph.types import StreamPart
from langsmith import uuid7
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from llamaberry.graph.answers import best_turn
from llamaberry.graph.context import Context
from llamaberry.graph.events import step_of
from llamaberry.graph.workflow import graph
from llamaberry.server.auth import KeyGuard
from llamaberry.server.openai_errors import failed, mistaken, refused
from llamaberry.server.openai_request import MODELS, ChatRequest

_STARTED = int(time.time())


class ChatCompletion:
    """The response to one request, whole or streamed. It is worked on only while the client is there."""

    def __init__(self, asked: ChatRequest, context: Context) -> None:
        self.asked = asked
        self.context = context
        self.run_id = uuid7()
        self.created = int(time.time())
        self.state: dict[str, Any] = {}
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or stop the run where the client goes away before its end."""
        tasks = [asyncio.create_task(self._answer(scope, receive, send)), asyncio.create_task(_gone(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell all, or what went wrong. A stream begins with its first token: what fails before has its own status."""
        try:
            await (self._streamed(send) if self.asked.stream else self._whole(scope, receive, send))
        except Exception as error:  # noqa: BLE001 - told to the client, and logged where it is a fault of ours
            response = mistaken(error, self.asked.names) if isinstance(error, ValidationError) else failed(error)
            if not self.begun:
                await response(scope, receive, send)
                return
            await self._event(send, bytes(response.body).decode())
        if self.begun:
            await send({"type": "http.response.body", "body": b""})

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        thought = "".join([piece async for piece in self._reasoning()])
        message = {"role": "assistant", "content": self.state["answer"], "reasoning_content": thought}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason}
        body = self._frame("chat.completion", [choice]) | {"usage": self._usage}
        await Response(json.dumps(body), media_type="application/json")(scope, receive, send)

    async def _streamed(self, send: Send) -> None:
        async with aclosing(self._reasoning()) as pieces:
            async for piece in pieces:
                role = {} if self.begun else {"role": "assistant"}
                await self._delta(send, role | {"reasoning_content": piece})
        await self._delta(send, {"content": self.state["answer"]})
        await self._delta(send, {}, self._finish_reason)
        if self.asked.stream_options and self.asked.stream_options.include_usage:
            await self._event(send, json.dumps(self._frame("chat.completion.chunk", []) | {"usage": self._usage}))
        await self._event(send, "[DONE]")

    async def _delta(self, send: Send, delta: dict[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        await self._event(send, json.dumps(self._frame("chat.completion.chunk", [choice])))

    async def _event(self, send: Send, data: str) -> None:
        if not self.begun:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            self.begun = True
        await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})

    async def _reasoning(self) -> AsyncGenerator[str]:
        """Run the graph; yield the turns as they are written, then what was lost, and leave the result in `state`."""
        writing = None
        stream = graph.astream(
            {"messages": self.asked.conversation},
            {"run_id": self.run_id},
            context=self.context,
            stream_mode=["messages", "values"],
            version="v2",
        )
        async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
            async for part in parts:
                if part["type"] == "values":
                    self.state = cast("dict[str, Any]", part["data"])
                elif part["type"] == "messages":
                    message, metadata = part["data"]
                    if isinstance(message, AIMessageChunk) and message.text:
                        if writing != (step := step_of(metadata)):
                            yield f"\n\n{step}\n\n" if writing else f"{step}\n\n"
                            writing = step
                        yield message.text
        if self.state["degraded"]:
            yield f"\n\n{self.state['degraded']}"

    def _frame(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        frame = {"id": f"chatcmpl-{self.run_id}", "object": kind, "created": self.created}
        return frame | {"model": self.asked.model, "choices": choices}

    @property
    def _usage(self) -> dict[str, Any]:
        counted = [turn["usage"] for turn in self.state["turns"]] + [self.state["messages"][-1].usage_metadata]
        total = reduce(add_usage, counted, UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0))
        return {
            "prompt_tokens": total["input_tokens"],
            "completion_tokens": total["output_tokens"],
            "total_tokens": total["total_tokens"],
            "prompt_tokens_details": {"cached_tokens": total.get("input_token_details", {}).get("cache_read", 0)},
        }

    @property
    def _finish_reason(self) -> str:
        """Whether the reply that the answer stands in was cut: the synthesis, or the turn that stands for it."""
        turns = self.state["turns"]
        written = self.state["messages"][-1].response_metadata or best_turn(turns) or turns[-1]
        return "length" if written.get("finish_reason") == "length" else "stop"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _unknown(model: str) -> Response:
    message = f"there is no model {model!r} here, but {', '.join(MODELS)}"
    return refused(404, message, code="model_not_found", param="model")


def _card(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": _STARTED, "owned_by": "llamaberry"}


async def complete(request: Request) -> ChatCompletion | Response:
    """POST /v1/chat/completions."""
    try:
        asked = ChatRequest.model_validate_json(await request.body())
    except ValidationError as error:
        return mistaken(error)
    if asked.model not in MODELS:
        return _unknown(asked.model)
    try:
        return ChatCompletion(asked, asked.context)
    except ValidationError as error:
        return mistaken(error, asked.names)


async def models(request: Request) -> Response:
    """GET /v1/models, and one of them."""
    model = request.path_params.get("model")
    if model is None:
        return JSONResponse({"object": "list", "data": [_card(name) for name in MODELS]})
    return JSONResponse(_card(model)) if model in MODELS else _unknown(model)


def _application(**parts: Any) -> Starlette:
    """Aegra hangs its own routes into the door, and takes none for that but FastAPI's."""
    if "aegra_api" not in sys.modules:
        return Starlette(**parts)
    from fastapi import FastAPI

    door: Starlette = FastAPI(title="Llamaberry", **parts)
    return door


app = _application(
    routes=[
        Route("/v1/chat/completions", complete, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{model}", models),
    ],
    middleware=[Middleware(KeyGuard)],
)
