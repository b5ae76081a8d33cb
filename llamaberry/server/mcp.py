"""The MCP server: one tool, `think`, on standard input and output, or by HTTP. It needs the extra `mcp`."""

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any, TypeVar

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamaberry import __version__
from llamaberry.server.guard import Guard, max_body_bytes
from llamaberry.server.keys import check_keys_file
from llamaberry.server.listening import AnnouncedServer, open_listener
from llamaberry.server.mcp_tool import INPUT_SCHEMA, OUTPUT_SCHEMA, Think, ThinkError
from llamaberry.server.origin import check_address

T = TypeVar("T")
McpServer = Server[dict[str, Any]]
RequestContext = ServerRequestContext[dict[str, Any], Any]


def create_server(think: Think) -> McpServer:
    """Return the server of this tool."""

    async def list_tools(_context: RequestContext, _params: PaginatedRequestParams | None) -> ListToolsResult:
        tool = Tool(
            name=think.name,
            title="Think in turns",
            description=think.description,
            input_schema=INPUT_SCHEMA,
            output_schema=OUTPUT_SCHEMA,
            annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=False, open_world_hint=False),
        )
        return ListToolsResult(tools=[tool])

    async def call_tool(context: RequestContext, params: CallToolRequestParams) -> CallToolResult:
        if params.name != think.name:
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name[:100]!r}: use {think.name}")

        async def report(progress: float, message: str) -> None:
            await context.session.report_progress(progress, None, message)

        try:
            text, result = await _until_left(context.request, think.answer(params.arguments or {}, report))
        except ThinkError as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)
        return CallToolResult(content=[TextContent(text=text)], structured_content=dict(result))

    return Server("llamaberry", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


async def _until_left(request: Any, answering: Awaitable[T]) -> T:
    """Wait for `answering`; cancel it if the client cancels, or closes the connection of its HTTP request."""
    left = asyncio.ensure_future(request.state.left.wait() if request else asyncio.Event().wait())
    run = asyncio.ensure_future(answering)
    try:
        await asyncio.wait({run, left}, return_when=asyncio.FIRST_COMPLETED)
        if not run.done():
            raise ThinkError("the client has closed the connection")
        return run.result()
    finally:
        # anyio would cancel each clean-up of the run again, so that its model call goes on.
        for task in (run, left):
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(run, left, return_exceptions=True)


async def serve_stdio(server: McpServer) -> None:
    """Serve on standard input and output until the input ends. What anything else prints goes to standard error."""
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at this address. Port 0 is an unused one.

    Raises:
        SetupError: the address is not usable, or would serve others without a key, or the file of keys has an error.
    """
    check_address(host)
    check_keys_file()
    return open_listener(host, port, "choose another address", name="--http: ")


async def serve_http(server: McpServer, listener: socket.socket) -> None:
    """Serve by HTTP until a signal arrives, and print the URL to standard error."""
    with listener:
        config = uvicorn.Config(_http_app(server), log_level="warning", timeout_graceful_shutdown=2)
        await AnnouncedServer(config, "MCP at {url}/mcp").serve(sockets=[listener])


def _http_app(server: McpServer) -> ASGIApp:
    """Return the ASGI app, with the checks of our other server: the key, or without one the Host and the Origin."""
    app = server.streamable_http_app(
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the Guard's part
        max_request_body_size=max_body_bytes(),
    )
    exposed = ["mcp-session-id", "mcp-protocol-version", "www-authenticate"]
    pages = CORSMiddleware(app, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=exposed)
    return Guard(_NoteDisconnect(pages))


class _NoteDisconnect:
    """ASGI middleware: sets `request.state.left` when the client has closed the connection.

    Otherwise the older versions of the protocol would go on with a run whose result nobody can receive.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        left = asyncio.Event()

        async def noting_receive() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                left.set()
            return message

        if scope["type"] == "http":
            scope.setdefault("state", {})["left"] = left
        await self.app(scope, noting_receive, send)
