"""Phoenix middleware, loaded by its path: a page under another host name cannot read the viewer (DNS rebinding)."""

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


class LocalHostOnly(BaseHTTPMiddleware):
    """Refuses a request whose Host is not this machine's."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer, or refuse with 400."""
        if request.url.hostname not in ("127.0.0.1", "localhost"):
            return PlainTextResponse("the viewer answers to 127.0.0.1 only", 400)
        return await call_next(request)
