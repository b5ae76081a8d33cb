"""Past runs as trees in the terminal: each node with its figures, and what it changed in the answer."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from llamaberry.cli.past_run import Node, Run
from llamaberry.console import plain, plain_console


def node_heading(node: Node) -> Text:
    """Return a node's name and figures, and whether it changed the answer."""
    line = Text(node.name, "bold")
    line.append(" · ".join(["", *node.figures]), "not bold")
    if node.changed:
        line.append(" · the answer changed", "bold yellow")
    return line


def answer_diff(node: Node, console: Console) -> Text:
    """Return a node's answer with its changes: in colour, or with marks if the console has no colour."""
    styles = {"same": "", "gone": "red strike", "new": "green"}
    without_colour = console.no_color or console.color_system is None
    marks = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"} if without_colour else {}
    pieces = [Text(marks.get(kind, "{}").format(plain(words)), styles[kind]) for kind, words in node.change]
    return Text(" ").join(pieces) if pieces else Text("no answer stated", "dim")


def print_trees(runs: Sequence[Run], hidden: int) -> None:
    """Print the runs, and how many earlier runs of the thread are `hidden`."""
    console = plain_console()
    if not console.is_terminal:
        console.width = 10_000  # a file or another program reads it: do not wrap lines
    for run in runs:
        tree = Tree(Text(plain(run.question), "bold cyan"), guide_style="dim")
        for node in run.nodes:
            tree.add(node_heading(node)).add(answer_diff(node, console))
        console.print(tree)
        console.print(Text(f"\n{plain(run.answer)}\n"))
        if run.degraded:
            console.print(Text(plain(run.degraded), "yellow"))
        console.print(Text(plain(" · ".join(["thread " + run.thread, *run.figures])), "dim"))
        if run.stop_reason is None:
            console.print(Text(f"`llamaberry resume {plain(run.thread)}` continues it", "dim"))
    if hidden:
        console.print(Text(f"{hidden} earlier on this thread: --all prints them", "dim"))
