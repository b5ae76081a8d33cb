"""`llamaberry graph`: the drawing of the graph."""

from pathlib import Path
from typing import Annotated

import typer

from llamaberry.graph.errors import SetupError


def graph(
    png: Annotated[Path | None, typer.Option(help="Draw it into this file, without network access.")] = None,
) -> None:
    """Print the graph as mermaid, or draw it."""
    from llamaberry.graph.workflow import graph as reasoning

    drawing = reasoning.get_graph()
    if png is None:
        typer.echo(drawing.draw_mermaid())
        return
    try:
        png.write_bytes(drawing.draw_png(None))
    except ImportError as error:
        raise SetupError('drawing needs pygraphviz: pip install "llamaberry[png]"') from error
    except OSError as error:
        raise SetupError(f"{png} cannot be written: {error.strerror}") from error
