"""Runs of the past as one self-contained page: no script, nothing fetched, every text escaped."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, tostring

from llamaberry.display import plain
from llamaberry.past_run import Node, Run

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
CSS = """
:root { color-scheme: light dark; --line: #8884; --soft: #777; --flip: #b45309; --new: #15803d; --gone: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --soft: #aaa; --flip: #fbbf24; --new: #4ade80; --gone: #f87171; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; white-space: pre-wrap; }
h2 { font-size: 1rem; margin: 0; }
article { border: 1px solid var(--line); border-left-width: 4px; border-radius: .5rem; }
article { padding: .75rem; margin: .75rem 0; }
article.flip { border-left-color: var(--flip); }
.flip h2::after { content: "the answer changed"; color: var(--flip); font-size: .8rem; margin-left: .75rem; }
.figures { color: var(--soft); font-size: .85rem; margin: .25rem 0; }
.text { white-space: pre-wrap; margin: .5rem 0 0; }
ins { color: var(--new); text-decoration: none; font-weight: 600; }
del { color: var(--gone); }
summary { cursor: pointer; color: var(--soft); font-size: .85rem; margin-top: .5rem; }
pre { white-space: pre-wrap; font: .85rem/1.5 ui-monospace, monospace; margin: .5rem 0 0; }
.degraded { color: var(--flip); }
"""


def page(runs: Sequence[Run]) -> str:
    """Return the page of these runs, readable at any width; each turn's reasoning is folded, each flip is marked."""
    title = plain(runs[-1].question)[:80] or "Llamaberry"
    head = _tag(
        "head",
        _tag("meta", {"charset": "utf-8"}),
        _tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        _tag("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        _tag("title", title),
        _tag("style", CSS),
    )
    body = _tag("body", *(_tag("main", *_run(run)) for run in runs))
    return "<!doctype html>\n" + tostring(_tag("html", {"lang": "en"}, head, body), encoding="unicode", method="html")


def _run(run: Run) -> list[Element]:
    parts = [_tag("h1", run.question), _figures(["thread " + run.thread, *run.figures])]
    parts += [_tag("p", {"class": "degraded"}, run.degraded)] if run.degraded else []
    parts += [_node(node) for node in run.nodes]
    answer = _tag("div", {"class": "text answer"}, run.answer)
    return [*parts, _tag("article", _tag("h2", "Answer"), answer)]


def _node(node: Node) -> Element:
    named = {"same": "span", "gone": "del", "new": "ins"}
    words: list[Element | str] = []
    for kind, text in node.change:
        words += [_tag(named[kind], text), " "]
    return _tag(
        "article",
        {"class": "node flip" if node.flipped else "node"},
        _tag("h2", node.name),
        _figures(node.figures),
        _tag("div", {"class": "text"}, *(words or ["no answer stated"])),
        _tag("details", _tag("summary", "the reply as it was written"), _tag("pre", node.text)),
    )


def _figures(parts: Sequence[str]) -> Element:
    return _tag("p", {"class": "figures"}, " · ".join(parts))


def _tag(name: str, *inside: "Element | str | dict[str, str]") -> Element:
    """Make an element; texts are escaped when the page is written, and hold no control codes."""
    element = Element(name)
    last: Element | None = None
    for part in inside:
        if isinstance(part, dict):
            element.attrib.update(part)
        elif isinstance(part, str):
            if last is None:
                element.text = (element.text or "") + plain(part)
            else:
                last.tail = (last.tail or "") + plain(part)
        else:
            element.append(part)
            last = part
    return element
