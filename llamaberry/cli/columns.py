"""Runs of one question beside each other where the terminal is wide enough, else one below the other."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from llamaberry.cli.past_run import Run
from llamaberry.cli.tree import change_of, heading_of
from llamaberry.console import plain

WIDE = 100
"""The width of a terminal from which on two runs stand beside each other."""


class Column(NamedTuple):
    """A run, and its concise answer; `failed`: it came to none."""

    run: Run
    concise: str | None
    failed: bool


def columns(
    console: Console, question: str, shown: Sequence[Column], told: Sequence[str], *, shared_first: bool
) -> None:
    """Print the question, the runs, and what is `told` of the difference; mark a first turn that is not their own."""
    if not console.is_terminal:
        console.width = 10_000  # a file or another program reads it: no line is broken
    console.print(Text(plain(question.strip()), "bold"), end="\n\n")
    drawn = [_column(console, one, shared=shared_first and one is not shown[0]) for one in shown]
    if console.is_terminal and console.width >= WIDE:
        grid = Table.grid(padding=(0, 2), expand=True)
        for _ in drawn:
            grid.add_column(ratio=1, overflow="fold")
        grid.add_row(*drawn)
        console.print(grid, end="\n")
    else:
        for column in drawn:
            console.print(column)
    if told:
        console.print(Text(" · ".join(told), "bold"))


def _column(console: Console, one: Column, *, shared: bool) -> RenderableType:
    run = one.run
    tree = Tree(Text(run.thread, "bold cyan"), guide_style="dim")
    for node in run.nodes:
        heading = heading_of(node)
        if shared and node is run.nodes[0]:
            heading.append(" · shared", "cyan")
        branch = tree.add(heading)
        for number, step in enumerate(node.steps, 1):
            branch.add(Text(f"{number}. {' '.join(plain(step).split())}", "dim"))
        branch.add(change_of(node, console))
    parts: list[RenderableType] = [tree, ""]
    if one.concise and one.concise.strip() != run.answer.strip():
        parts += [Text(plain(one.concise), "bold green"), ""]
    if run.answer:
        answer = plain(run.answer)
        parts += [Markdown(answer, hyperlinks=False) if console.is_terminal else Text(answer), ""]
    if one.failed:
        parts.append(Text("failed: there is no answer", "red"))
    if run.degraded:
        parts.append(Text(plain(run.degraded), "yellow"))
    return Group(*parts, Text(plain(" · ".join(run.figures)), "dim"), "")
