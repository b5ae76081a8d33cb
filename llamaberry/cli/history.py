"""The commands that look back: the threads that are kept, and what a past run was."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def history(
    thread: Annotated[str | None, typer.Argument(help="One thread, with its questions, turns and answers.")] = None,
) -> None:
    """List the threads that are kept, or show one."""
    from llamaberry.cli.session import history as print_history

    print_history(thread)


@app.command()
def forget(thread: Annotated[str, typer.Argument(help="The thread to delete.")]) -> None:
    """Delete a thread, with all its turns."""
    from llamaberry.cli.session import forget as forget_thread

    forget_thread(thread)


@app.command()
def show(
    thread: Annotated[str, typer.Argument(help="The thread, or `last` for the newest one.")],
    every: Annotated[bool, typer.Option("--all", help="All questions of the thread, not its newest alone.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write it into this file, as one page for a browser.")] = None,
) -> None:
    """Show a past run as a tree: each turn with its seconds and tokens, and how it changed the answer."""
    from llamaberry.cli.tree import show as show_thread

    show_thread(thread, every=every, html=html)
