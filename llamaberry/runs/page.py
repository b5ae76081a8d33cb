"""Past runs as one self-contained page: no script, no external resource, every text escaped."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from llamaberry.console import plain
from llamaberry.graph.tool_calls import ToolCall, describe_tool_call
from llamaberry.html import document, tag
from llamaberry.runs.bars import shares
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
.steps { border-collapse: collapse; width: 100%; font-size: .85rem; margin: .75rem 0; color: var(--soft); }
.steps th { text-align: left; font-weight: normal; white-space: nowrap; padding-right: .75rem; width: 1%; }
.steps td { width: 45%; padding: .1rem .75rem .1rem 0; }
.bar { height: .5rem; min-width: 1px; border-radius: .2rem; }
.bar.seconds { background: #0e7490; }
.bar.tokens { background: #a21caf; }
.degraded { color: var(--flip); }
"""


def page(runs: Sequence[Run]) -> str:
    """Return the page of the runs: each turn's reply is folded, and turns that change the answer are marked."""
    title = plain(runs[-1].question)[:80] or "Llamaberry"
    return document(title, _CSS, tag("body", *(tag("main", *_run(run)) for run in runs)))


def _run(run: Run) -> list[Element]:
    parts = [tag("h1", run.question), _figures(["thread " + run.thread, *run.figures])]
    parts += [tag("p", {"class": "degraded"}, run.degraded)] if run.degraded else []
    parts += _bars(run)
    parts += [_node(node) for node in run.nodes]
    answer = tag("div", {"class": "text answer"}, run.answer)
    return [*parts, tag("article", tag("h2", "Answer"), answer)]


def _bars(run: Run) -> list[Element]:
    """Return a table with a row for each step: a bar for its seconds, and one for its tokens."""
    rows = []
    for step in shares(run.nodes):
        tokens = "not counted" if step.tokens is None else f"{step.tokens:,} tokens"
        cells = [
            tag("td", tag("div", {"class": f"bar {kind}", "style": f"width: {100 * share:.1f}%"}), text)
            for kind, share, text in (
                ("seconds", step.of_seconds, f"{step.seconds:.1f} s"),
                ("tokens", step.of_tokens, tokens),
            )
        ]
        rows.append(tag("tr", tag("th", {"scope": "row"}, step.name), *cells))
    return [tag("table", {"class": "steps"}, *rows)] if rows else []


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
