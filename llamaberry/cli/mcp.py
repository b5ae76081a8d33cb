"""`llamaberry mcp`: a server for clients of the Model Context Protocol."""

import asyncio
import signal
from typing import Annotated, Any

import typer

from llamaberry.cli.options import context_options
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError


@context_options(exclude=("answer_schema",))
def mcp(
    settings: dict[str, Any],
    http: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Serve by HTTP at this address, path /mcp, not on standard input."),
    ] = None,
) -> int:
    """Offer the tool `think` to MCP clients.

    It is served on standard input and output, or by HTTP, with these settings.
    """
    context = Context(**settings)
    address = _parse_address(http) if http is not None else None
    try:
        from llamaberry.server.mcp import create_server, listen, serve_http, serve_stdio
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types", "uvicorn", "starlette"):
            raise
        raise SetupError(f'`llamaberry mcp` needs: pip install "llamaberry[mcp]" ({error})') from error
    from llamaberry.models.local import server as local_server
    from llamaberry.server.mcp_tool import Think
    from llamaberry.tracing.langsmith import tracing_session

    server = create_server(Think(context))
    with tracing_session(report=False, runs=[]):
        try:
            if address:
                asyncio.run(serve_http(server, listen(*address)))
            else:
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # the thread that waits for input cannot be interrupted
                asyncio.run(serve_stdio(server))
        finally:
            local_server.close()
    return 0


def _parse_address(text: str) -> tuple[str, int]:
    """Return the host and the port of "host:port", "[::1]:port" or "port".

    Raises:
        SetupError: it is none of these.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise SetupError(f"--http {text!r}: give a port, or a host and a port, such as 127.0.0.1:8000")
    return host.strip("[]") or "127.0.0.1", int(port)
