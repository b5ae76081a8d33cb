"""The server's access control: with LLAMABERRY_API_KEY set, every request has to send that key.

langgraph.json names `auth`, which guards LangGraph's API. It does not cover /docs, /info, /metrics, /ui and the
OpenAI-compatible API: KeyGuard, that API's middleware, runs before every route. Both work on LangGraph's server and on
Aegra.
"""

import hmac
import os
from collections.abc import Mapping

from langgraph_sdk import Auth
from starlette.types import ASGIApp, Receive, Scope, Send

from llamaberry.server.openai_errors import ApiError

INVALID_KEY = 'the key is missing or wrong: send "Authorization: Bearer …" with the LLAMABERRY_API_KEY of this server'

auth = Auth()


def is_authorized(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request with these headers may pass. LangGraph's SDK sends its `api_key` as `x-api-key`."""
    key = os.environ.get("LLAMABERRY_API_KEY", "").strip()
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    sent_key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
    return not key or hmac.compare_digest(sent_key, key.encode())


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes] | dict[str, str]) -> Auth.types.MinimalUserDict:
    """Return the one user that there is. LangGraph passes the headers as bytes, Aegra as str."""
    if not is_authorized({_to_bytes(name): _to_bytes(value) for name, value in headers.items()}):
        raise Auth.exceptions.HTTPException(status_code=401, detail=INVALID_KEY)
    return {"identity": "owner"}


def _to_bytes(header: bytes | str) -> bytes:
    return header.encode("latin-1") if isinstance(header, str) else header


class KeyGuard:
    """ASGI middleware: answers 401, as an OpenAI error, to a request without the key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the lifespan events have no headers, and pass."""
        if scope["type"] == "lifespan" or is_authorized(dict(scope["headers"])):
            await self.app(scope, receive, send)
            return
        response = ApiError(401, INVALID_KEY, "invalid_api_key", headers={"www-authenticate": "Bearer"}).response()
        await response(scope, receive, send)
