"""`llamaberry forget`: delete a thread."""

import asyncio
from typing import Annotated

import typer


def forget(thread: Annotated[str, typer.Argument(help="The thread to delete.")]) -> None:
    """Delete a thread with all its turns."""
    asyncio.run(_delete(thread))


async def _delete(name: str) -> None:
    from llamaberry import threads

    async with threads.open_graph() as graph:
        await threads.forget(graph, name)
