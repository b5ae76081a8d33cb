"""A past run, read from its last checkpoint: each node, what it cost, and what it did to the answer."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from llamaberry.graph.answers import answer_changed
from llamaberry.graph.calls import STRUCTURE, SYNTHESIZE, VERIFY, Call, Usage, step_label, total, turn_calls
from llamaberry.graph.check import Check, describe_check
from llamaberry.graph.program_reply import parse_program
from llamaberry.graph.tool_calls import ToolCall
from llamaberry.graph.turn import Turn
from llamaberry.runs.figures import describe_usage, run_figures

MAX_DIFF_WORDS = 5_000
"""Above this many words of both answers together the diff shows whole answers: word diffs take quadratic time."""

Piece = tuple[Literal["same", "gone", "new"], str]


class Evidence(NamedTuple):
    """A program that checked the answer: what it printed, and in a sentence what follows."""

    program: str | None
    output: str | None
    sentence: str


class Node(NamedTuple):
    """A node of a past run: its call, and what it did to the answer, or the evidence that it brought."""

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
    evidence: Evidence | None = None
    tool_calls: Sequence[ToolCall] = ()

    @property
    def step(self) -> str:
        """The node's name in `calls`."""
        return self.call["step"]

    @property
    def name(self) -> str:
        """The node's name for people."""
        return step_label(self.step)

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
        turns = sum(node.step not in (VERIFY, SYNTHESIZE, STRUCTURE) for node in self.nodes)
        models = [node.call["model"] for node in self.nodes]
        return run_figures(turns, self.stop_reason, models, self.usage, self.usage["seconds"])


def read_run(thread: str, state: dict[str, Any]) -> Run:
    """Read a run from the state at its end, or at the point where it was interrupted."""
    nodes: list[Node] = []
    before = None
    checks = _checks(state)
    for turn in state.get("turns") or []:
        (call,) = turn_calls([turn])
        steps = [step["statement"] for step in turn["steps"]]
        change, changed = _change(before, turn["answer"]), answer_changed(before, turn["answer"])
        tool_calls = turn.get("tool_calls", [])
        nodes.append(Node(call, turn["text"], turn["verdict"], steps, change, changed, tool_calls=tool_calls))
        nodes += checks.get(turn["index"], [])
        before = turn["answer"] or before
    for call in state.get("calls") or []:
        if call["step"] == STRUCTURE:
            nodes.append(Node(call, call["text"], None, [], [("same", call["text"])], False))
        elif "text" in call and call["step"] != VERIFY:
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


def _checks(state: dict[str, Any]) -> dict[int, list[Node]]:
    """Return the calls of verify by the turn that they followed; the last one's program is that of the check."""
    turns: list[Turn] = state.get("turns") or []
    check: Check | None = state.get("check")
    nodes: dict[int, list[Node]] = {}
    index, last = 1, None
    for call in state.get("calls") or []:
        if call["step"].startswith("refine_turn "):
            index = int(call["step"].removeprefix("refine_turn "))
        elif call["step"] == VERIFY:
            replaced = Evidence(parse_program(call.get("text", "")), None, "This program was written again.")
            last = Node(call, call.get("text", ""), None, [], [], False, replaced)
            nodes.setdefault(index, []).append(last)
    if last and check:
        evidence = Evidence(check["program"], check["output"], describe_check(check, turns))
        of_turn = next(of_turn for of_turn in nodes.values() if of_turn[-1] is last)
        of_turn[-1] = last._replace(verdict=check["verdict"], evidence=evidence)
    return nodes


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
