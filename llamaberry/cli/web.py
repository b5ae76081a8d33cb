"""`llamaberry web`: the page in the browser."""

from importlib.util import find_spec
from typing import Annotated, Any

import typer

from llamaberry.cli.options import context_options
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError


@context_options()
def web(
    settings: dict[str, Any],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 is an unused one.")] = 7860,
    server: Annotated[str | None, typer.Option(help="Run the graph on a server, such as http://host:port.")] = None,
) -> int:
    """Serve a chat page on this machine, with these settings at first.

    It shows each step while it is written, and continues the threads of the command line. With LLAMABERRY_API_KEY the
    page asks for the key.
    """
    Context(**settings)
    if missing := [name for name in ("gradio", "uvicorn") if find_spec(name) is None]:
        raise SetupError(f'`llamaberry web` needs: pip install "llamaberry[web]" ({missing[0]} is not installed)')
    from llamaberry.models.local import server as local_server
    from llamaberry.tracing.langsmith import tracing_session
    from llamaberry.web.access import listen
    from llamaberry.web.serve import serve

    with listen(host, port) as listener, tracing_session(report=False, runs=[]):
        try:
            serve(listener, settings, server)
        finally:
            local_server.close()
    return 0
