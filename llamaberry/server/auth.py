"""The server's access control: where LLAMABERRY_API_KEY is set, a request has to bring that key.

langgraph.json names `auth`, which guards LangGraph's API. Its /docs, /info, /metrics and /ui, and the routes of the
door, are not below it: KeyGuard, the door's middleware, stands before every route of the server. Both serve LangGraph's
server, and Aegra.
"""

import hmac
import os
from collections.abc import Mapping

from langgraph_sdk import Auth
from starlette.types import ASGIApp, Receive, Scope, Send

from llamaberry.server.openai_errors import refused

REFUSED = 'the key is missing or wrong: send "Authorization: Bearer …" with the LLAMABERRY_API_KEY of this server'

auth = Auth()


def admitted(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request with these headers may pass. LangGraph's own SDK sends its `api_key` as `x-api-key`."""
    key = os.environ.get("LLAMABERRY_API_KEY", "").strip()
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    given = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
    return not key or hmac.compare_digest(given, key.encode())


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes] | dict[str, str]) -> Auth.types.MinimalUserDict:
    """Return who asks: all who have the key are one. LangGraph gives the headers in bytes, Aegra in letters."""
    if not admitted({_raw(name): _raw(value) for name, value in headers.items()}):
        raise Auth.exceptions.HTTPException(status_code=401, detail=REFUSED)
    return {"identity": "owner"}


def _raw(header: bytes | str) -> bytes:
    return header.encode("latin-1") if isinstance(header, str) else header


class KeyGuard:
    """Lets a request through to `app` with the key, and answers 401 without it, in the form of OpenAI's errors."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. The server's own start and end come this way as well, and bring no headers."""
        if scope["type"] == "lifespan" or admitted(dict(scope["headers"])):
            await self.app(scope, receive, send)
            return
        response = refused(401, REFUSED, code="invalid_api_key", headers={"www-authenticate": "Bearer"})
        await response(scope, receive, send)
