"""An API for OpenAI's clients, on the server of langgraph.json, with the presets as models.

A thin layer over the graph. docs/openai.md maps the fields.
"""

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid5

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llamaberry.graph.errors import LlamaberryError, SetupError
from llamaberry.models.limits import limit_callers
from llamaberry.server.guard import Guard
from llamaberry.server.keys import check_keys_file
from llamaberry.server.openai_chat import ChatCompletion
from llamaberry.server.openai_errors import ApiError, InvalidRequestError, to_api_error
from llamaberry.server.openai_request import MODELS, ChatRequest, ignored_fields, parse
from llamaberry.server.openai_responses import ResponsesReply, ResponsesRequest
from llamaberry.server.origin import check_address
from llamaberry.server.reply import Reply, StreamResponse, WholeResponse
from llamaberry.server.run import Run

ApiRequest = TypeVar("ApiRequest", ChatRequest, ResponsesRequest)

_logger = logging.getLogger("llamaberry")
_STARTED_AT = int(time.time())
_ON_AEGRA = "aegra_api" in sys.modules  # the engine of deploy/, where nginx listens for others
_GRAPH_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""LangGraph and Aegra make the id of a graph's own assistant from the graph's name in this namespace."""


def _unknown_model(model: str) -> Response:
    message = f"there is no model {model[:100]!r}: use {', '.join(MODELS)}"
    return ApiError(404, message, "model_not_found", "model").response()


def _model_card(model: str) -> dict[str, Any]:
    card = {"id": model, "object": "model", "created": _STARTED_AT, "owned_by": "llamaberry"}
    return card | {"description": MODELS[model].description}


async def chat_completions(request: Request) -> ASGIApp:
    """POST /v1/chat/completions."""
    return await _answer(request, ChatRequest, ChatCompletion, "messages")


async def responses(request: Request) -> ASGIApp:
    """POST /v1/responses."""
    return await _answer(request, ResponsesRequest, ResponsesReply, "input")


async def _answer(
    request: Request, request_type: type[ApiRequest], reply_type: Callable[[ApiRequest, Run], Reply], messages: str
) -> ASGIApp:
    """Return the response to a request whose field `messages` holds the conversation."""
    try:
        body = parse(await request.body(), messages)
        api_request = request_type.model_validate(body)
        if api_request.model not in MODELS:
            return _unknown_model(api_request.model)
        run = api_request.run(UUID(request.scope["state"]["request_id"]))
        await asyncio.to_thread(run.check)
    except (ValidationError, InvalidRequestError, LlamaberryError) as error:
        return to_api_error(error).response()
    ignored = ignored_fields(body)
    headers = {"x-llamaberry-ignored": ", ".join(ignored)} if ignored else {}
    response = StreamResponse if api_request.stream else WholeResponse
    return response(reply_type(api_request, run), headers)


async def models(request: Request) -> Response:
    """GET /v1/models, and /v1/models/{model}."""
    model = request.path_params.get("model")
    if not model:
        return JSONResponse({"object": "list", "data": [_model_card(name) for name in MODELS]})
    return JSONResponse(_model_card(model)) if model in MODELS else _unknown_model(model)


class NotHere:
    """Answers requests below /v1 that no route takes: an unknown path, or a known one with another method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404, or 405 with the methods that the path has."""
        routes = [route for route in ROUTES if route.matches(scope)[0] != Match.NONE]
        methods = {method for route in routes for method in route.methods or ()}
        request = f"{scope['method']} {scope['path'][:100]}"
        existing = ", ".join(f"{min(route.methods or {'GET'})} {route.path.replace(':path', '')}" for route in ROUTES)
        if methods:
            allow = ", ".join(sorted(methods))
            error = ApiError(405, f"{request}: use {allow}", "method_not_allowed", headers={"allow": allow})
        else:
            error = ApiError(404, f"there is no {request}: use {existing}", "unknown_url")
        await error.response()(scope, receive, send)


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    try:
        check_address(behind_proxy=_ON_AEGRA)
        await asyncio.to_thread(check_keys_file)
    except SetupError as error:
        _logger.critical("%s", error)
        raise
    # A2A clients look for the agent's card at the root; LangGraph serves it there for the assistant of this variable.
    os.environ.setdefault("DEFAULT_A2A_ASSISTANT_ID", str(uuid5(_GRAPH_NAMESPACE, "llamaberry")))
    with limit_callers():
        gc.freeze()  # a full collection of what is loaded by now would stop all requests for 0.1 s, now and then
        yield
        gc.unfreeze()


def _create_app(routes: list[Route]) -> Starlette:
    """Return the app, to which the server adds its own routes. The Guard is around all; as a middleware, LangGraph and
    Aegra would put it inside of theirs.
    """
    base: type[Starlette] = Starlette
    settings: dict[str, Any] = {"routes": routes, "lifespan": _lifespan}
    if _ON_AEGRA:  # which requires a FastAPI instance
        from fastapi import FastAPI

        base = FastAPI
        settings["title"] = "Llamaberry"

    class App(base):  # type: ignore[valid-type,misc]
        def build_middleware_stack(self) -> ASGIApp:
            return Guard(super().build_middleware_stack())

    return App(**settings)


ROUTES = [
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/responses", responses, methods=["POST"]),
    Route("/v1/models", models),
    Route("/v1/models/{model:path}", models),
]

app = _create_app([*ROUTES, Route("/v1", NotHere()), Route("/v1/{path:path}", NotHere())])
