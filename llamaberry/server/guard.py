"""What every request passes first, on every route: who it is from, the key, and how large it is."""

import asyncio
import logging
import os

from langsmith import uuid7
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamaberry.graph.errors import SetupError
from llamaberry.server.body_check import check_body
from llamaberry.server.keys import INVALID_KEY, KEYS_FILE_ERROR, FailedLogins, identify
from llamaberry.server.openai_errors import ApiError
from llamaberry.server.origin import needs_loopback, why_refused

MAX_BODY_BYTES = 4_000_000
BODY_TIMEOUT_S = 30.0

CLOSED_PATHS = ("/internal/", "/deploy/")
"""LangGraph's routes for the whole server: they delete or show everything, or deploy the folder with the host's key."""

_logger = logging.getLogger("llamaberry")


class Guard:
    """ASGI middleware around the whole server, also around CORS: a page of another site learns nothing from a refusal.

    Requests that the server sends to itself (for /mcp and /a2a) have passed before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._failed_logins = FailedLogins()
        self._reported_error = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan" or str(scope.get("root_path", "")).startswith("/noauth"):
            await self.app(scope, receive, send)
            return
        request_id = str(uuid7())
        scope.setdefault("state", {})["request_id"] = request_id
        if f"{scope['path']}/".startswith("/v1/"):
            send = _with_header(send, "x-request-id", request_id)
        headers = Headers(scope=scope)
        error = await self._refusal(scope, headers)
        if error is None and f"{scope['path']}/".startswith(CLOSED_PATHS):
            error = ApiError(403, f"{scope['path'][:100]} is closed on this server: use langgraph's CLI", "forbidden")
        if error is None and scope["type"] == "http":
            body = await _read_body(receive, headers)
            if isinstance(body, ApiError):
                error = body
            else:
                error, receive = await check_body(scope["path"], body), _replay(body, receive)
        elif error is None:
            receive = _checked(scope["path"], receive, send)
        if error is None:
            await self.app(scope, receive, send)
        else:
            await _readable(error, headers).response()(scope, receive, send)

    async def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        if needs_loopback():
            reason = why_refused((scope.get("server") or [None])[0], headers.raw)
            return ApiError(403, reason, "forbidden") if reason else None
        if scope.get("method") == "OPTIONS" and "access-control-request-method" in headers:
            return None  # a browser sends a preflight without the key; the answer reveals nothing
        try:
            caller = await identify(dict(headers.raw))
        except SetupError as error:
            if str(error) != self._reported_error:
                self._reported_error = str(error)
                _logger.error("%s", error)
            return ApiError(503, KEYS_FILE_ERROR, "not_set_up")
        if caller is None:
            self._failed_logins.count()
            return ApiError(401, INVALID_KEY, "invalid_api_key", headers={"www-authenticate": "Bearer"})
        return None


def _readable(error: ApiError, headers: Headers) -> ApiError:
    """Return an error that a page may read, except for one that refuses the page."""
    if error.status == 403 or "origin" not in headers:
        return error
    return error._replace(headers={**error.headers, "access-control-allow-origin": "*"})


def _with_header(send: Send, name: str, value: str) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[name] = value
        await send(message)

    return send_with_header


async def _read_body(receive: Receive, headers: Headers) -> bytes | ApiError:
    """Return the body, or the error of one that is too large, too slow, or not sent to its end."""
    limit = max_body_bytes()
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > limit:
        return _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return ApiError(400, "the body was not sent to its end", "incomplete")
                body += message.get("body", b"")
                if len(body) > limit:
                    return _too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return ApiError(408, f"the body was not complete within {BODY_TIMEOUT_S:g} s", "timeout")


def _checked(path: str, receive: Receive, send: Send) -> Receive:
    """Return the `receive` of a WebSocket that closes it at the first message which a body could not be."""

    async def receive_checked() -> Message:
        message = await receive()
        text = message.get("bytes") or (message.get("text") or "").encode()
        if text and (error := await _message_error(path, text)):
            reason = error.message.encode()[:120].decode(errors="ignore")  # a close frame has 123 bytes for it
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
            return {"type": "websocket.disconnect", "code": 1008, "reason": reason}
        return message

    return receive_checked


async def _message_error(path: str, message: bytes) -> ApiError | None:
    return _too_large() if len(message) > max_body_bytes() else await check_body(path, message)


def _too_large() -> ApiError:
    return ApiError(413, f"the body has more than {max_body_bytes():,} bytes, the limit of this server", "too_large")


def max_body_bytes() -> int:
    """Return the limit of a body: LLAMABERRY_MAX_BODY_BYTES, or 4 MB."""
    value = os.environ.get("LLAMABERRY_MAX_BODY_BYTES", "").strip()
    return int(value) if value.isdecimal() else MAX_BODY_BYTES


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that first returns a body which is already read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body_first() -> Message:
        return messages.pop() if messages else await receive()

    return receive_body_first
