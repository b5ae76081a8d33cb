"""An API for OpenAI's clients, on the server of langgraph.json: chat completions, with the presets as models.

A thin layer over the graph: the turns and the checks stream as `reasoning_content`, and the answer is the `content`.
docs/openai.md maps the fields.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
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
from llamaberry.graph.calls import SYNTHESIZE, VERIFY, Usage
from llamaberry.graph.check import Check, standing_answer, verified_turn
from llamaberry.graph.errors import LlamaberryError
from llamaberry.graph.events import step_of
from llamaberry.graph.workflow import graph
from llamaberry.server.auth import KeyGuard
from llamaberry.server.openai_check import CHECK, render_check
from llamaberry.server.openai_errors import error_response, run_error_response, validation_error_response
from llamaberry.server.openai_request import MODELS, ChatRequest

_logger = logging.getLogger("llamaberry")
_STARTED_AT = int(time.time())


class ChatCompletion:
    """The response to one request, as a whole or as a stream. When the client disconnects, the run is cancelled."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.run_id = uuid7()
        self.created = int(time.time())
        self.state: dict[str, Any] = {}
        self.stream_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the end, or until the client disconnects."""
        tasks = [asyncio.create_task(self._answer(scope, receive, send)), asyncio.create_task(_disconnected(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer or an error. After a stream's first token an error is an event; before, it has its status."""
        try:
            await (self._send_stream(send) if self.request.stream else self._send_whole(scope, receive, send))
        except ValidationError as error:
            response = validation_error_response(error, self.request.field_names)
        except LlamaberryError as error:
            response = run_error_response(error)
        except Exception:  # a bug: the client must not wait for the rest of its stream
            _logger.exception("the OpenAI-compatible API failed")
            response = error_response(500, "the server failed: see its log", code="internal")
        else:
            return
        if self.stream_started:
            await self._send_event(send, bytes(response.body).decode())
            await send({"type": "http.response.body", "body": b""})
        else:
            await response(scope, receive, send)

    async def _send_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        reasoning = "".join([text async for text in self._reasoning()])
        message = {"role": "assistant", "content": self.state["answer"], "reasoning_content": reasoning}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason}
        body = self._body("chat.completion", [choice]) | {"usage": self._usage}
        await Response(json.dumps(body), media_type="application/json")(scope, receive, send)

    async def _send_stream(self, send: Send) -> None:
        async with aclosing(self._reasoning()) as reasoning:
            async for text in reasoning:
                role = {} if self.stream_started else {"role": "assistant"}
                await self._send_delta(send, role | {"reasoning_content": text})
        await self._send_delta(send, {"content": self.state["answer"]})
        await self._send_delta(send, {}, self._finish_reason)
        if self.request.stream_options and self.request.stream_options.include_usage:
            await self._send_event(send, json.dumps(self._body("chat.completion.chunk", []) | {"usage": self._usage}))
        await self._send_event(send, "[DONE]")
        await send({"type": "http.response.body", "body": b""})

    async def _send_delta(self, send: Send, delta: dict[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        await self._send_event(send, json.dumps(self._body("chat.completion.chunk", [choice])))

    async def _send_event(self, send: Send, data: str) -> None:
        if not self.stream_started:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            self.stream_started = True
        await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})

    async def _reasoning(self) -> AsyncGenerator[str]:
        """Run the graph; yield the text of its steps, then what is missing in the answer. The result is in `state`."""
        current_step = None
        async with aclosing(self._steps()) as steps:
            async for step, text in steps:
                if step != current_step:
                    yield f"\n\n{step}\n\n" if current_step else f"{step}\n\n"
                    current_step = step
                elif step == CHECK:
                    yield "\n\n"
                yield text
        if self.state["degraded"]:
            yield f"\n\n{self.state['degraded']}"

    async def _steps(self) -> AsyncGenerator[tuple[str, str]]:
        """Run the graph; yield pieces of text with the name of their step. A program and its output are one piece."""
        stream = graph.astream(
            {"messages": self.request.conversation},
            {"run_id": self.run_id},
            context=self.request.context,
            stream_mode=["messages", "custom", "values"],
            version="v2",
        )
        check: Check | None = None
        async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
            async for part in parts:
                if part["type"] == "values":
                    self.state = cast("dict[str, Any]", part["data"])
                elif part["type"] == "custom":
                    if part["data"]["type"] == "check_finished":
                        before, check = check, cast("Check", part["data"])
                        yield CHECK, render_check(check, self.state["turns"][-1], before)
                elif part["type"] == "messages":
                    message, metadata = part["data"]
                    # The reply with a program is shown by its check, once the program has run.
                    if isinstance(message, AIMessageChunk) and message.text and metadata.get("kind") != VERIFY:
                        yield step_of(metadata), message.text

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        body = {"id": f"chatcmpl-{self.run_id}", "object": kind, "created": self.created}
        return body | {"model": self.request.model, "choices": choices}

    @property
    def _usage(self) -> dict[str, Any]:
        usage: Usage = self.state["usage"]
        return {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
            "prompt_tokens_details": {"cached_tokens": usage["cached_tokens"]},
        }

    @property
    def _finish_reason(self) -> str:
        """Return whether the reply with the answer was cut: the synthesis, or the turn whose answer is used."""
        turns, check, last_call = self.state["turns"], self.state["check"], self.state["calls"][-1]
        if self.state["answer"] == standing_answer(turns, check):
            return "stop"  # it is the program's
        turn = verified_turn(turns, check) or best_turn(turns) or turns[-1]
        reply = last_call if last_call["step"] == SYNTHESIZE else turn
        return "length" if reply["finish_reason"] == "length" else "stop"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _unknown_model(model: str) -> Response:
    message = f"there is no model {model!r}: use {', '.join(MODELS)}"
    return error_response(404, message, code="model_not_found", param="model")


def _model_card(model: str) -> dict[str, Any]:
    card = {"id": model, "object": "model", "created": _STARTED_AT, "owned_by": "llamaberry"}
    return card | {"description": MODELS[model].description}


async def chat_completions(request: Request) -> ChatCompletion | Response:
    """POST /v1/chat/completions."""
    try:
        chat = ChatRequest.model_validate_json(await request.body())
    except ValidationError as error:
        return validation_error_response(error)
    return ChatCompletion(chat) if chat.model in MODELS else _unknown_model(chat.model)


async def models(request: Request) -> Response:
    """GET /v1/models, and /v1/models/{model}."""
    model = request.path_params.get("model")
    if model is None:
        return JSONResponse({"object": "list", "data": [_model_card(name) for name in MODELS]})
    return JSONResponse(_model_card(model)) if model in MODELS else _unknown_model(model)


def _create_app(**settings: Any) -> Starlette:
    """Return the app; Aegra mounts its own routes on it, and requires a FastAPI instance."""
    if "aegra_api" not in sys.modules:
        return Starlette(**settings)
    from fastapi import FastAPI

    api: Starlette = FastAPI(title="Llamaberry", **settings)
    return api


app = _create_app(
    routes=[
        Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{model}", models),
    ],
    middleware=[Middleware(KeyGuard)],
)
