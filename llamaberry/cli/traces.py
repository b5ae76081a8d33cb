"""`llamaberry traces`: the local trace viewer."""

from typing import Annotated

import typer


def traces(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 6006,
) -> None:
    """Start a trace viewer on this machine.

    It prints the environment variable that sends traces to it.
    """
    from llamaberry.tracing.viewer import serve

    serve(port)
