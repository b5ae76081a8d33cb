"""The report as one self-contained page: no script, nothing fetched, every text escaped; it is drawn in SVG."""

import json
from xml.etree.ElementTree import Element

from llamaberry.evaluation.plots import plots
from llamaberry.evaluation.report import Report
from llamaberry.evaluation.table import Table, gaps, tables
from llamaberry.html import document, tag

_CSS = """
body { max-width: 72rem; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
.recommendation { font-size: 1.15rem; border-left: 4px solid var(--new); padding: .25rem 0 .25rem .75rem; }
.gap { color: var(--flip); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.25rem; }
figure { margin: 0; }
figcaption, caption { text-align: left; font-weight: 600; }
svg { display: block; width: 100%; height: auto; stroke-linejoin: round; overflow: visible; }
svg text { font-family: inherit !important; }
.wide { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .25rem .75rem .25rem 0; text-align: right; vertical-align: bottom; }
th, tr { border-bottom: 1px solid var(--line); }
th, td { white-space: pre; }
th { font-size: .85rem; font-weight: 600; }
.word { text-align: left; }
.note { color: var(--soft); font-size: .85rem; margin: 0; }
dl { display: grid; grid-template-columns: minmax(6rem, auto) 1fr; gap: .25rem 1rem; font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; white-space: pre-wrap; }
"""

TERMS = {
    "asked": "The questions of the arm. One whose calls failed counts as wrong, unless the turns before it left a "
    "right answer; none is left out.",
    "95% interval": "Wilson's: where the true accuracy may lie, given that so many questions were asked.",
    "agree": "The share of questions whose turns (or draws) all state the same answer, among those with two or more.",
    "fixed, broken": "Questions that were wrong and became right, or were right and became wrong: by the step, or "
    "from turn 1 to the final answer. A reply that states no answer changes nothing.",
    "after turn k": "The newest answer stated by then. A run that ended early carries its answer on, so that every "
    "turn is of all questions.",
    "tokens": "Means of one question, of input (with what came from a cache) and output, over the questions of whose "
    "replies the provider counted every one.",
    "tokens per right one": "All those tokens over the right answers they led to.",
    "s mean, s median": "Seconds that the model took for the replies to one question, measured under the concurrency "
    "of the evaluation itself.",
    "no answer read": "The share of replies in which no answer could be found.",
    "cut": "The share of replies that ended at the limit of tokens.",
    "errors": "Questions where a call failed for good. Degraded: those that ended on less than was planned.",
    "p": "McNemar's exact test, two-sided, on the questions that only one of the two arms has right: how often as "
    "uneven a split comes about where the arms are equally good. Below 0.05 a difference counts as shown.",
}
"""What each figure is, in a line."""


def page(report: Report) -> str:
    """Return the page of this report; the same report gives the same bytes.

    Raises:
        SetupError: matplotlib is not installed.
    """
    figures = [tag("figure", tag("figcaption", title), drawing) for title, drawing in plots(report)]
    parts = [tag("h1", "Does thinking again pay?"), tag("p", {"class": "recommendation"}, report.recommendation)]
    parts += [tag("p", {"class": "gap"}, gap) for gap in gaps(report)]
    parts += [tag("div", {"class": "plots"}, *figures)]
    parts += [_table(table) for table in tables(report)]
    parts += [tag("h2", "How it was run"), _list({key: _told(value) for key, value in report.settings.items()})]
    parts += [tag("h2", "What the figures are"), _list(TERMS)]
    return document("Does thinking again pay?", _CSS, tag("body", tag("main", *parts)))


def _table(table: Table) -> Element:
    def cell(name: str, place: int, text: str, **more: str) -> Element:
        return tag(name, {**({"class": "word"} if place < table.words else {}), **more}, text)

    head = tag("tr", *(cell("th", place, heading, scope="col") for place, heading in enumerate(table.headings)))
    rows = [tag("tr", *(cell("td", place, text) for place, text in enumerate(row))) for row in table.rows]
    drawn = tag("table", tag("caption", table.title), tag("thead", head), tag("tbody", *rows))
    # A box that scrolls is reached by the keyboard too.
    box = tag("div", {"class": "wide", "tabindex": "0", "role": "region", "aria-label": table.title}, drawn)
    return tag("section", box, *([tag("p", {"class": "note"}, table.note)] if table.note else []))


def _list(items: dict[str, str]) -> Element:
    return tag("dl", *(part for term, text in items.items() for part in (tag("dt", term), tag("dd", text))))


def _told(value: object) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
