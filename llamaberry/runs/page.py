"""Past runs as one self-contained page: no script, no external resource, every text escaped."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from llamaberry.console import plain
from llamaberry.graph.tool_calls import ToolCall, describe_tool_call
from llamaberry.html import document, tag
from llamaberry.runs.past_run import Evidence, Node, Run

_CSS = """
h1 { font-size: 1.3rem; white-space: pre-wrap; }
h2 { font-size: 1rem; margin: 0; }
article { border: 1px solid var(--line); border-left-width: 4px; border-radius: .5rem; }
article { padding: .75rem; margin: .75rem 0; }
article.changed { border-left-color: var(--flip); }
.changed h2::after { content: "the answer changed"; color: var(--flip); font-size: .8rem; margin-left: .75rem; }
.figures { color: var(--soft); font-size: .85rem; margin: .25rem 0; }
.text { white-space: pre-wrap; margin: .5rem 0 0; }
ins { color: var(--new); text-decoration: none; font-weight: 600; }
del { color: var(--gone); }
summary { cursor: pointer; color: var(--soft); font-size: .85rem; margin-top: .5rem; }
pre { white-space: pre-wrap; font: .85rem/1.5 ui-monospace, monospace; margin: .5rem 0 0; }
.degraded { color: var(--flip); }
"""


def page(runs: Sequence[Run]) -> str:
    """Return the page of the runs: each turn's reply is folded, and turns that change the answer are marked."""
    title = plain(runs[-1].question)[:80] or "Llamaberry"
    return document(title, _CSS, tag("body", *(tag("main", *_run(run)) for run in runs)))


def _run(run: Run) -> list[Element]:
    parts = [tag("h1", run.question), _figures(["thread " + run.thread, *run.figures])]
    parts += [tag("p", {"class": "degraded"}, run.degraded)] if run.degraded else []
    parts += [_node(node) for node in run.nodes]
    answer = tag("div", {"class": "text answer"}, run.answer)
    return [*parts, tag("article", tag("h2", "Answer"), answer)]


def _node(node: Node) -> Element:
    if node.evidence:
        return _check(node, node.evidence)
    tags = {"same": "span", "gone": "del", "new": "ins"}
    words: list[Element | str] = []
    for kind, text in node.change:
        words += [tag(tags[kind], text), " "]
    return tag(
        "article",
        {"class": "node changed" if node.changed else "node"},
        tag("h2", node.name),
        _figures(node.figures),
        *map(_tool_call, node.tool_calls),
        tag("div", {"class": "text"}, *(words or ["no answer stated"])),
        tag("details", tag("summary", "the full reply"), tag("pre", node.text)),
    )


def _tool_call(call: ToolCall) -> Element:
    outcome = tag("pre", call["error"] or call["result"] or "")
    return tag("details", tag("summary", f"tool · {describe_tool_call(call)}"), outcome)


def _check(node: Node, evidence: Evidence) -> Element:
    program = [tag("pre", {"class": "program"}, evidence.program)] if evidence.program else []
    output = [_figures(["it printed"]), tag("pre", {"class": "output"}, evidence.output)] if evidence.output else []
    sentence = tag("div", {"class": "text"}, evidence.sentence)
    return tag("article", {"class": "node"}, tag("h2", node.name), _figures(node.figures), *program, *output, sentence)


def _figures(parts: Sequence[str]) -> Element:
    return tag("p", {"class": "figures"}, " · ".join(parts))
