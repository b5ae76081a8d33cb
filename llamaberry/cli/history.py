"""`llamaberry history`: the threads that are stored, or the questions of one of them."""

import asyncio
from typing import Annotated

import typer


def history(
    thread: Annotated[str | None, typer.Argument(help="One thread: print its questions, turns and answers.")] = None,
) -> None:
    """List the stored threads, or print one of them."""
    asyncio.run(_print(thread))


async def _print(name: str | None) -> None:
    from llamaberry import threads
    from llamaberry.cli.display import Display

    display = Display("full")
    async with threads.open_graph() as graph:
        if name is None:
            for thread in await threads.list_threads(graph):
                display.thread(thread.name, thread.state, interrupted=thread.interrupted)
            return
        await threads.find_thread(graph, name)
        for state in await threads.question_states(graph, name):
            display.question(state)
