"""A past run, read from its checkpoints: which turn changed the answer, what each cost, how long it took."""

import asyncio
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from langchain_core.messages.ai import UsageMetadata

from llamaberry import threads
from llamaberry.display import plain, tokens_told
from llamaberry.graph.answers import changed
from llamaberry.graph.errors import SetupError

LONGEST_DIFF = 5_000
"""Words of both answers together: a diff takes quadratic time in them, and nobody reads a longer one."""

Piece = tuple[Literal["same", "gone", "new"], str]


class Node(NamedTuple):
    """A node of a past run. `change` is its answer, word by word, against the answer before it."""

    name: str
    verdict: str | None
    model: str
    seconds: float
    usage: UsageMetadata | None
    finish_reason: str | None
    text: str
    change: list[Piece]
    flipped: bool

    @property
    def figures(self) -> list[str]:
        """What it decided, took and cost, in words."""
        told = [self.verdict, f"{self.seconds:.1f} s", tokens_told([self.usage]) if self.usage else "tokens not told"]
        told += ["cut at max_tokens"] if self.finish_reason == "length" else []
        return [part for part in told if part]


class Run(NamedTuple):
    """A question of the past, as the checkpoint at its end has it."""

    thread: str
    question: str
    nodes: list[Node]
    answer: str
    stop_reason: str | None
    degraded: str | None

    @property
    def figures(self) -> list[str]:
        """What the whole run came to, in words."""
        turns = sum(node.name != "synthesize" for node in self.nodes)
        told = [f"{turns} turn{'' if turns == 1 else 's'}", self.stop_reason or "cut"]
        told += sorted({node.model for node in self.nodes})
        told += [tokens_told([node.usage for node in self.nodes]), f"{sum(node.seconds for node in self.nodes):.1f} s"]
        return told


def run_of(thread: str, state: dict[str, Any]) -> Run:
    """Read a run from the state at its end, or at the point where it was cut."""
    nodes, before = [], None
    for turn in state.get("turns") or []:
        name = "first_turn" if turn["index"] == 1 else f"refine_turn {turn['index']}"
        costs = (turn["model"], turn["seconds"], turn["usage"], turn["finish_reason"])
        flipped = changed(before, turn["answer"])
        nodes.append(Node(name, turn["verdict"], *costs, turn["text"], _change(before, turn["answer"]), flipped))
        before = turn["answer"] or before
    told: dict[str, Any] = next((message.response_metadata for message in (state.get("messages") or [])[-1:]), {})
    if state.get("answer") and "text" in told:
        costs = (told["model"], told["seconds"], state["messages"][-1].usage_metadata, told.get("finish_reason"))
        concise = state["concise_answer"] or None
        flipped = changed(before, concise, concise=True)
        nodes.append(Node("synthesize", None, *costs, told["text"], _change(before, concise), flipped))
    whole = state.get("answer") or before or ""
    return Run(thread, state.get("query") or "", nodes, whole, state.get("stop_reason"), state.get("degraded"))


def _change(before: str | None, answer: str | None) -> list[Piece]:
    return [] if answer is None else list(diff(answer if before is None else before, answer))


def diff(before: str, after: str) -> Iterator[Piece]:
    """Compare two texts word by word; the pieces that are not gone are the second text, its spaces made single."""
    old, new = before.split(), after.split()
    if len(old) + len(new) > LONGEST_DIFF:
        if old != new:
            yield "gone", " ".join(old)
        yield ("new" if old != new else "same"), " ".join(new)
        return
    for kind, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", " ".join(old[i:j])
            continue
        if j > i:
            yield "gone", " ".join(old[i:j])
        if m > k:
            yield "new", " ".join(new[k:m])


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
    from llamaberry.page import page

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


def _print(runs: Sequence[Run], earlier: int) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000  # a file or another program reads it: no line is broken
    styles = {"same": "", "gone": "red strike", "new": "green"}
    marks = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"} if console.color_system is None else {}
    for run in runs:
        tree = Tree(Text(plain(run.question), "bold cyan"), guide_style="dim")
        for node in run.nodes:
            line = Text(node.name, "bold")
            line.append(" · ".join(["", *node.figures]), "not bold")
            if node.flipped:
                line.append(" · the answer changed", "bold yellow")
            pieces = [Text(marks.get(kind, "{}").format(plain(words)), styles[kind]) for kind, words in node.change]
            tree.add(line).add(Text(" ").join(pieces) if pieces else Text("no answer stated", "dim"))
        console.print(tree)
        console.print(Text(f"\n{plain(run.answer)}\n"))
        if run.degraded:
            console.print(Text(plain(run.degraded), "yellow"))
        console.print(Text(" · ".join(["thread " + run.thread, *run.figures]), "dim"))
    if earlier:
        console.print(Text(f"{earlier} earlier on this thread: --all shows them", "dim"))
