"""`llamaberry history`: the threads that are stored, or the questions of one of them."""

import asyncio
from typing import Annotated

import typer

from llamaberry.cli.show import show
from llamaberry.console import one_line, plain, plain_console


def history(
    thread: Annotated[str | None, typer.Argument(help="One thread: print its questions, turns and answers.")] = None,
) -> None:
    """List the stored threads, or print one of them."""
    if thread is None:
        asyncio.run(_list())
    else:
        show(thread, all_=True)


async def _list() -> None:
    """Print a line for each thread: name, time, status, newest question."""
    from llamaberry import threads

    console = plain_console(soft_wrap=True)
    async with threads.open_graph() as graph:
        for thread in await threads.list_threads(graph):
            time = str(thread.state.created_at or "")[:16].replace("T", " ")
            parts = [plain(thread.name), time, thread.status, one_line(thread.state.values.get("query") or "")]
            console.print(" · ".join(parts), style=None if thread.status == "answered" else "yellow")
