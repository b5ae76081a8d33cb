"""A past run, read from its last checkpoint: each node, what it cost, and how it changed the answer."""

import difflib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from llamaberry.cli.display import describe_usage, run_figures
from llamaberry.graph.answers import answer_changed
from llamaberry.graph.calls import SYNTHESIZE, Call, Usage, total, turn_calls

MAX_DIFF_WORDS = 5_000
"""Above this many words of both answers together the diff shows whole answers: word diffs take quadratic time."""

Piece = tuple[Literal["same", "gone", "new"], str]


class Node(NamedTuple):
    """A node of a past run: its call, and what it did to the answer."""

    call: Call
    text: str
    """The reply."""
    verdict: str | None
    steps: list[str]
    """The statements of a turn's steps."""
    change: list[Piece]
    """The answer, compared with the one before it."""
    changed: bool
    """Whether this is a different answer."""

    @property
    def name(self) -> str:
        """The node's name in traces."""
        return self.call["step"]

    @property
    def figures(self) -> list[str]:
        """The verdict, seconds and tokens, in words."""
        usage = describe_usage(total([self.call])) if self.call["usage"] else "tokens not counted"
        cut = "cut at max_tokens" if self.call["finish_reason"] == "length" else None
        return [part for part in (self.verdict, f"{self.call['seconds']:.1f} s", usage, cut) if part]


class Run(NamedTuple):
    """A run, as the checkpoint at its end has it."""

    thread: str
    question: str
    nodes: list[Node]
    answer: str
    concise_answer: str | None
    usage: Usage
    stop_reason: str | None
    degraded: str | None

    @property
    def figures(self) -> list[str]:
        """The turns, stop reason, models, tokens and seconds of the run, in words."""
        turns = sum(node.name != SYNTHESIZE for node in self.nodes)
        models = [node.call["model"] for node in self.nodes]
        return run_figures(turns, self.stop_reason, models, self.usage, self.usage["seconds"])


def read_run(thread: str, state: dict[str, Any]) -> Run:
    """Read a run from the state at its end, or at the point where it was interrupted."""
    nodes: list[Node] = []
    before = None
    for turn in state.get("turns") or []:
        (call,) = turn_calls([turn])
        steps = [step["statement"] for step in turn["steps"]]
        change, changed = _change(before, turn["answer"]), answer_changed(before, turn["answer"])
        nodes.append(Node(call, turn["text"], turn["verdict"], steps, change, changed))
        before = turn["answer"] or before
    for call in state.get("calls") or []:
        if "text" in call:
            answer = state.get("concise_answer") or None
            changed = answer_changed(before, answer, concise=True)
            nodes.append(Node(call, call["text"], None, [], _change(before, answer), changed))
    finished = bool(state.get("answer"))
    return Run(
        thread,
        state.get("query") or "",
        nodes,
        state.get("answer") or before or "",
        state.get("concise_answer") or None,
        state.get("usage") or total([]),
        state.get("stop_reason") if finished else None,
        state.get("degraded"),
    )


def _change(before: str | None, answer: str | None) -> list[Piece]:
    return [] if answer is None else list(diff(answer if before is None else before, answer))


def diff(before: str, after: str) -> Iterator[Piece]:
    """Compare two texts word by word. The pieces that are not gone are the second text, with single spaces."""
    old, new = before.split(), after.split()
    if len(old) + len(new) > MAX_DIFF_WORDS:
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
