"""Who may use the page: with LLAMABERRY_API_KEY, who has entered the key; without it, this machine's own browser."""

import hmac
import os
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamaberry.graph.errors import SetupError
from llamaberry.html import document, tag
from llamaberry.server.keys import FailedLogins
from llamaberry.server.listening import open_listener
from llamaberry.server.origin import REMEDY, is_loopback, why_refused

COOKIE = "llamaberry"
MAX_LOGIN_BYTES = 10_000
CLOSED_PATHS = ("/gradio_api/upload", "/gradio_api/proxy", "/gradio_api/file", "/proxy", "/file", "/monitoring")
"""Gradio's routes that the page does not use: they take files, or fetch them."""
_FRAMES = "'self' https://huggingface.co"
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'self'; "
)
"""The browser itself refuses requests to other hosts, whatever a reply or Gradio asks for."""


def serves_others() -> bool:
    """Return whether the page serves more than this machine: those with the key, or everyone (LLAMABERRY_INSECURE=1).

    A file of keys (LLAMABERRY_KEYS_FILE) does not count: its callers see their own threads only, the page shows all.
    """
    return bool(_key()) or os.environ.get("LLAMABERRY_INSECURE") == "1"


def _key() -> str:
    return os.environ.get("LLAMABERRY_API_KEY", "").strip()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at this address. Port 0 is an unused one.

    Raises:
        SetupError: the address cannot be used, or would serve others without a key.
    """
    if not (serves_others() or is_loopback(host)):
        raise SetupError(f"the page would listen on {host} without a key, for everyone who can reach it: {REMEDY}")
    return open_listener(host, port, "choose another with --host or --port")


class Access:
    """ASGI middleware around the page: the key, the host, and the policy of what the browser may fetch."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._session = secrets.token_urlsafe()  # of all who have entered the key, until this process ends
        self._failed_logins = FailedLogins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no WebSocket
            await send({"type": "websocket.close", "code": 1008, "reason": "this page does not use it"})
            return
        response = await self._refusal(Request(scope, receive))
        await (response or self.app)(scope, receive, _with_policy(send))

    async def _refusal(self, request: Request) -> Response | None:
        """Return the response to a request that does not reach the page; None if it does."""
        path = request.url.path
        if path.startswith(CLOSED_PATHS):
            return PlainTextResponse("this page does not use it", 404)
        if not serves_others():
            server = (request.scope.get("server") or [None])[0]
            reason = why_refused(server, request.scope["headers"])
            return PlainTextResponse(reason, 403) if reason else None
        key = _key()
        if not key or hmac.compare_digest(_cookie(request.headers).encode(), self._session.encode()):
            return None
        if path == "/login" and request.method == "POST":
            return await self._login(request, key)
        if request.method == "GET" and path == "/":
            return HTMLResponse(_login_page(), 401)
        return PlainTextResponse("enter the key first", 401)

    async def _login(self, request: Request, key: str) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_LOGIN_BYTES:
                return PlainTextResponse("the key is too long", 413)
        entered = parse_qs(body.decode("latin-1")).get("key", [""])[0]
        if not hmac.compare_digest(entered.strip().encode(), key.encode()):
            self._failed_logins.count()
            return HTMLResponse(_login_page("This is not the key."), 401)
        response = RedirectResponse("./", 303)
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(COOKIE, self._session, httponly=True, samesite="lax", secure=secure)
        return response


def _cookie(headers: Headers) -> str:
    try:
        return SimpleCookie(headers.get("cookie", ""))[COOKIE].value
    except (CookieError, KeyError):
        return ""


def _login_page(problem: str = "") -> str:
    attributes = {"type": "password", "name": "key", "id": "key", "autocomplete": "current-password"}
    field = tag("input", attributes | {"autofocus": "", "required": ""})
    form = tag(
        "form",
        {"method": "post", "action": "login"},
        tag("label", {"for": "key"}, "The key of this server (LLAMABERRY_API_KEY)"),
        field,
        tag("button", "Open"),
        tag("p", {"class": "problem"}, problem),
    )
    return document("Llamaberry", _LOGIN_CSS, tag("body", tag("main", tag("h1", "Llamaberry"), form)))


_LOGIN_CSS = """
main { max-width: 22rem; margin: 20vh auto 0; }
label { display: block; color: var(--soft); }
input, button { font: inherit; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: .5rem; }
input { width: 100%; margin: .5rem 0; }
.problem { color: var(--gone); }
"""


def _with_policy(send: Send) -> Send:
    """Return a `send` that adds the policy to each response."""
    frames = _FRAMES if os.environ.get("SPACE_ID") else "'self'"

    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.append("content-security-policy", f"{_POLICY}frame-ancestors {frames}")
            headers["referrer-policy"] = "no-referrer"
            headers["x-content-type-options"] = "nosniff"
        await send(message)

    return send_with_policy
