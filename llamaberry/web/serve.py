"""Serve the page with uvicorn, until Ctrl-C."""

import logging
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp

from llamaberry.graph.errors import SetupError
from llamaberry.models.limits import limit_callers
from llamaberry.runs.page import page as run_page
from llamaberry.runs.past_run import read_run
from llamaberry.server.listening import AnnouncedServer
from llamaberry.web.access import Access, serves_others
from llamaberry.web.server_store import ServerStore
from llamaberry.web.store import LocalStore, Store
from llamaberry.web.style import CSS


def serve(listener: socket.socket, settings: Mapping[str, Any], server: str | None = None) -> None:
    """Serve the page until Ctrl-C, and print its address. `settings` are those that it shows at first.

    The graph runs in this process, or on a LangGraph `server`.
    """
    with ExitStack() as stack:
        if serves_others():
            stack.enter_context(limit_callers())
        app = create_app(ServerStore(server) if server else LocalStore(), settings)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        _Server(config, "the page is at {url}/ (Ctrl-C stops it)").run(sockets=[listener])


def create_app(store: Store, settings: Mapping[str, Any]) -> ASGIApp:
    """Return the page as an ASGI app, with the pages of its runs below /runs/."""
    # Gradio reads them when it is imported: it must report nothing, and ask nobody for its newest version.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SSR_MODE": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

    import gradio as gr

    from llamaberry.web.chat import Chat
    from llamaberry.web.page import Page, theme

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/runs/{thread}")
    async def show_run(request: Request, thread: str) -> Response:
        try:
            stored = await store.read(thread)
        except SetupError as error:
            return PlainTextResponse(str(error), 404)
        return HTMLResponse(run_page([read_run(thread, state) for state in stored.states]))

    page = Page(Chat(store), settings)
    gr.mount_gradio_app(
        app,
        page.blocks,
        "/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=True,
        max_file_size="1kb",
        theme=theme(),
        css=CSS,
    )
    return Access(app)


class _Server(AnnouncedServer):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the pages that are still open; uvicorn would print a traceback for each."""
        logging.getLogger("uvicorn.error").disabled = True
        await super().shutdown(sockets)
