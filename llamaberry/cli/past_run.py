"""A past run as its last checkpoint tells it: each node, what it cost, and how it changed the answer."""

import difflib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from langchain_core.messages.ai import UsageMetadata

from llamaberry.cli.display import tokens_told
from llamaberry.graph.answers import answer_changed
from llamaberry.graph.reply import reread

LONGEST_DIFF = 5_000
"""Words of both answers together: a diff takes quadratic time in them, and nobody reads a longer one."""

Piece = tuple[Literal["same", "gone", "new"], str]


class Node(NamedTuple):
    """A node of a past run. `steps` are a turn's statements, `change` is the answer against the one before it."""

    name: str
    verdict: str | None
    model: str
    seconds: float
    usage: UsageMetadata | None
    finish_reason: str | None
    text: str
    steps: list[str]
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
    for turn in reread(state.get("turns") or []):
        name = "first_turn" if turn["index"] == 1 else f"refine_turn {turn['index']}"
        costs = (turn["model"], turn["seconds"], turn["usage"], turn["finish_reason"])
        said = (turn["text"], [step["statement"] for step in turn["steps"]])
        flipped = answer_changed(before, turn["answer"])
        nodes.append(Node(name, turn["verdict"], *costs, *said, _change(before, turn["answer"]), flipped))
        before = turn["answer"] or before
    told: dict[str, Any] = next((message.response_metadata for message in (state.get("messages") or [])[-1:]), {})
    if state.get("answer") and "text" in told:
        costs = (told["model"], told["seconds"], state["messages"][-1].usage_metadata, told.get("finish_reason"))
        concise = state["concise_answer"] or None
        flipped = answer_changed(before, concise, concise=True)
        nodes.append(Node("synthesize", None, *costs, told["text"], [], _change(before, concise), flipped))
    whole = state.get("answer") or before or ""
    stop_reason = state.get("stop_reason") if state.get("answer") else None
    return Run(thread, state.get("query") or "", nodes, whole, stop_reason, state.get("degraded"))


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
