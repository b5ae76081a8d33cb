"""`llamaberry forget`: delete a thread."""

from typing import Annotated

import typer

from llamaberry.cli.thread_names import complete_thread
from llamaberry.console import plain


def forget(
    thread: Annotated[str, typer.Argument(help="The thread to delete.", autocompletion=complete_thread)],
) -> None:
    """Delete a thread with all its questions, turns and answers."""
    from llamaberry.threads.overview import forget as delete

    count = delete(thread)
    typer.echo(f"deleted thread {plain(thread)} with its {count} question{'' if count == 1 else 's'}")
