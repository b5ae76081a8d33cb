"""`llamaberry show`: a past run as a tree, read from its checkpoints."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from llamaberry import threads
from llamaberry.cli.past_run import Node, Run, run_of
from llamaberry.console import plain, plain_console
from llamaberry.graph.errors import SetupError


def show(name: str, *, every: bool, html: Path | None) -> None:
    """Print the newest run of the thread (`last`: of the newest thread) or all of them, or write them into a page.

    Raises:
        SetupError: there is no such thread, or the page cannot be written.
    """
    runs = asyncio.run(_runs(name))
    earlier = 0 if every else len(runs) - 1
    if html is None:
        _print(runs[earlier:], earlier)
        return
    from llamaberry.cli.page import page

    try:
        html.write_text(page(runs[earlier:]), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{html} cannot be written: {error.strerror}") from error
    print(f"written to {html}")  # noqa: T201


async def _runs(name: str) -> list[Run]:
    async with threads.open_graph() as graph:
        if name == "last":
            kept = await threads.list_threads(graph)
            if not kept:
                raise SetupError("no thread is kept yet: `llamaberry ask` begins one")
            name = kept[0].name
        await threads.find_thread(graph, name)
        return [run_of(name, state) for state in await threads.answered(graph, name)]


def heading_of(node: Node) -> Text:
    """Return a node's name and figures, and whether the answer changed there."""
    line = Text(node.name, "bold")
    line.append(" · ".join(["", *node.figures]), "not bold")
    if node.flipped:
        line.append(" · the answer changed", "bold yellow")
    return line


def change_of(node: Node, console: Console) -> Text:
    """Return a node's answer, and what it changed in the one before it: in colour, or in marks where there is none."""
    styles = {"same": "", "gone": "red strike", "new": "green"}
    plainly = console.no_color or console.color_system is None
    marks = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"} if plainly else {}
    pieces = [Text(marks.get(kind, "{}").format(plain(words)), styles[kind]) for kind, words in node.change]
    return Text(" ").join(pieces) if pieces else Text("no answer stated", "dim")


def _print(runs: Sequence[Run], earlier: int) -> None:
    console = plain_console()
    if not console.is_terminal:
        console.width = 10_000  # a file or another program reads it: no line is broken
    for run in runs:
        tree = Tree(Text(plain(run.question), "bold cyan"), guide_style="dim")
        for node in run.nodes:
            tree.add(heading_of(node)).add(change_of(node, console))
        console.print(tree)
        console.print(Text(f"\n{plain(run.answer)}\n"))
        if run.degraded:
            console.print(Text(plain(run.degraded), "yellow"))
        console.print(Text(plain(" · ".join(["thread " + run.thread, *run.figures])), "dim"))
        if run.stop_reason is None:
            console.print(Text(f"`llamaberry resume {plain(run.thread)}` goes on with it", "dim"))
    if earlier:
        console.print(Text(f"{earlier} earlier on this thread: --all shows them", "dim"))
