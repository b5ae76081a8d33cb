"""Two runs of one question: side by side if the terminal is wide enough, otherwise one below the other."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from llamaberry.cli.past_run import Run
from llamaberry.cli.tree import answer_diff, node_heading
from llamaberry.console import plain

MIN_WIDTH = 100
"""The terminal width from which two runs are printed side by side."""


class Column(NamedTuple):
    """A run, its concise answer, and whether it failed."""

    run: Run
    concise_answer: str | None
    failed: bool


def print_columns(
    console: Console, question: str, columns: Sequence[Column], difference: Sequence[str], *, shared_first: bool
) -> None:
    """Print the question, the runs and their difference; `shared_first` marks the first turn of all but one run."""
    if not console.is_terminal:
        console.width = 10_000  # a file or another program reads it: do not wrap lines
    console.print(Text(plain(question.strip()), "bold"), end="\n\n")
    parts = [_render(column, console, shared=shared_first and column is not columns[0]) for column in columns]
    if console.is_terminal and console.width >= MIN_WIDTH:
        grid = Table.grid(padding=(0, 2), expand=True)
        for _ in parts:
            grid.add_column(ratio=1, overflow="fold")
        grid.add_row(*parts)
        console.print(grid, end="\n")
    else:
        for part in parts:
            console.print(part)
    if difference:
        console.print(Text(" · ".join(difference), "bold"))


def _render(column: Column, console: Console, *, shared: bool) -> RenderableType:
    run = column.run
    tree = Tree(Text(run.thread, "bold cyan"), guide_style="dim")
    for node in run.nodes:
        heading = node_heading(node)
        if shared and node is run.nodes[0]:
            heading.append(" · shared", "cyan")
        branch = tree.add(heading)
        for number, step in enumerate(node.steps, 1):
            branch.add(Text(f"{number}. {' '.join(plain(step).split())}", "dim"))
        branch.add(answer_diff(node, console))
    parts: list[RenderableType] = [tree, ""]
    if column.concise_answer and column.concise_answer.strip() != run.answer.strip():
        parts += [Text(plain(column.concise_answer), "bold green"), ""]
    if run.answer:
        answer = plain(run.answer)
        parts += [Markdown(answer, hyperlinks=False) if console.is_terminal else Text(answer), ""]
    if column.failed:
        parts.append(Text("failed: there is no answer", "red"))
    if run.degraded:
        parts.append(Text(plain(run.degraded), "yellow"))
    return Group(*parts, Text(plain(" · ".join(run.figures)), "dim"), "")
