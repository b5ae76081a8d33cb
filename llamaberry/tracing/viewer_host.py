"""The trace viewer answers to its own name alone: a page elsewhere cannot have a name of its own point to it."""

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


class OwnHost(BaseHTTPMiddleware):
    """Refuses every Host but this machine's; Phoenix loads it by its path."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer, or refuse."""
        if request.url.hostname not in ("127.0.0.1", "localhost"):
            return PlainTextResponse("the viewer answers to 127.0.0.1 alone", 400)
        return await call_next(request)
