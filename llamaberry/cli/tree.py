"""Past runs in the terminal: a tree of the nodes with their figures and what each changed, then the answer."""

from collections.abc import Sequence

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from llamaberry.cli.display import program_text
from llamaberry.console import plain, plain_console
from llamaberry.graph.tool_calls import describe_tool_call
from llamaberry.runs.bars import shares
from llamaberry.runs.past_run import Node, Run

MIN_WIDTH = 100
"""The terminal width from which two runs are printed side by side."""
MIN_BAR, MAX_BAR = 4, 24  # characters


def print_runs(runs: Sequence[Run], hidden: int) -> None:
    """Print the runs, and how many earlier runs of the thread are `hidden`."""
    console = _console()
    for run in runs:
        tree = Tree(Text(plain(run.question), "bold cyan"), guide_style="dim")
        for node in run.nodes:
            branch = tree.add(_heading(node))
            for part in _content(node, console):
                branch.add(part)
        figures = _figures(["thread " + run.thread, *run.figures])
        console.print(tree, *_bars(run, console), "", *_answer(run, console), figures, sep="\n")
        if run.stop_reason is None:
            console.print(Text(f"`llamaberry resume {plain(run.thread)}` continues it", "dim"))
    if hidden:
        console.print(Text(f"{hidden} earlier on this thread: --all prints them", "dim"))


def print_side_by_side(question: str, runs: Sequence[Run], difference: Sequence[str], *, shared_first: bool) -> None:
    """Print the question, the runs (side by side if the terminal is wide enough) and their difference.

    `shared_first` marks the first turn of all runs but the first.
    """
    console = _console()
    console.print(Text(plain(question.strip()), "bold"), end="\n\n")
    parts: list[RenderableType] = [
        _column(run, console, shared_first=shared_first and run is not runs[0]) for run in runs
    ]
    if console.is_terminal and console.width >= MIN_WIDTH:
        grid = Table.grid(padding=(0, 2), expand=True)
        for _ in parts:
            grid.add_column(ratio=1, overflow="fold")
        grid.add_row(*parts)
        parts = [grid]
    console.print(*parts, sep="\n")
    if difference:
        console.print(Text(" · ".join(difference), "bold"))


def _bars(run: Run, console: Console) -> list[RenderableType]:
    """Return for a terminal a line for each step, with a bar for its seconds and one for its tokens."""
    steps = shares(run.nodes) if console.is_terminal else []
    if not steps:
        return []
    # The rest of a line: the longest name, the figures, and what separates them.
    width = max(MIN_BAR, min(MAX_BAR, (console.width - max(len(step.name) for step in steps) - 30) // 2))
    grid = Table.grid(padding=(0, 1))
    for column in ("name", "bar", "seconds", "bar", "tokens"):
        grid.add_column(justify="left" if column in ("name", "bar") else "right", no_wrap=True)
    for step in steps:
        tokens = "not counted" if step.tokens is None else f"{step.tokens:,} tokens"
        grid.add_row(
            Text(plain(step.name)),
            Bar(1, 0, step.of_seconds, width=width, color="cyan"),
            Text(f"{step.seconds:.1f} s"),
            Bar(1, 0, step.of_tokens, width=width, color="magenta"),
            Text(tokens),
        )
    return ["", grid]


def _column(run: Run, console: Console, *, shared_first: bool) -> Group:
    tree = Tree(Text(run.thread, "bold cyan"), guide_style="dim")
    for number, node in enumerate(run.nodes):
        branch = tree.add(_heading(node).append(" · shared" if shared_first and number == 0 else "", "cyan"))
        for step, statement in enumerate(node.steps, 1):
            branch.add(Text(f"{step}. {' '.join(plain(statement).split())}", "dim"))
        for part in _content(node, console):
            branch.add(part)
    concise = plain(run.concise_answer or "")
    same = concise.strip() in ("", plain(run.answer).strip())
    concise_lines: list[RenderableType] = [] if same else [Text(concise, "bold green"), ""]
    return Group(tree, "", *concise_lines, *_answer(run, console), _figures(run.figures), "")


def _heading(node: Node) -> Text:
    """Return a node's name and figures, and whether it changed the answer."""
    line = Text(node.name, "bold")
    line.append(" · ".join(["", *node.figures]), "not bold")
    return line.append(" · the answer changed" if node.changed else "", "bold yellow")


def _content(node: Node, console: Console) -> list[RenderableType]:
    """Return a node's tool calls and its answer with its changes, or its program, what that printed, what follows."""
    if node.evidence is None:
        tools = [Text(plain(f"tool · {describe_tool_call(call)}"), "dim") for call in node.tool_calls]
        return [*tools, _answer_diff(node, console)]
    parts: list[RenderableType] = []
    if node.evidence.program:
        parts.append(program_text(node.evidence.program, console))
    if node.evidence.output:
        parts.append(Text(f"printed: {plain(node.evidence.output).strip()}"))
    return [*parts, Text(plain(node.evidence.sentence))]


def _answer_diff(node: Node, console: Console) -> Text:
    """Return a node's answer with its changes: in colour, or with marks if the console has no colour."""
    styles = {"same": "", "gone": "red strike", "new": "green"}
    without_colour = console.no_color or console.color_system is None
    marks = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"} if without_colour else {}
    pieces = [Text(marks.get(kind, "{}").format(plain(words)), styles[kind]) for kind, words in node.change]
    return Text(" ").join(pieces) if pieces else Text("no answer stated", "dim")


def _answer(run: Run, console: Console) -> list[RenderableType]:
    """Return the answer, and what is missing from the run."""
    answer = plain(run.answer)
    lines: list[RenderableType] = []
    if answer:
        lines += [Markdown(answer, hyperlinks=False) if console.is_terminal else Text(answer), ""]
    if run.degraded:
        lines.append(Text(plain(run.degraded), "yellow"))
    return lines


def _figures(figures: Sequence[str]) -> Text:
    return Text(plain(" · ".join(figures)), "dim")


def _console() -> Console:
    console = plain_console()
    if not console.is_terminal:
        console.width = 10_000  # a file or another program reads it: do not wrap lines
    return console
