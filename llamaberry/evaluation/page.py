"""The report as one self-contained HTML page: SVG plots, no script, no request, every text escaped."""

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
.text { text-align: left; }
.note { color: var(--soft); font-size: .85rem; margin: 0; }
dl { display: grid; grid-template-columns: minmax(6rem, auto) 1fr; gap: .25rem 1rem; font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; white-space: pre-wrap; }
"""

TERMS = {
    "n": "The number of questions of the arm. A question without an answer counts as wrong.",
    "95% interval": "Wilson's interval for the accuracy.",
    "agree": "The share of questions whose turns (or draws) all give the same answer, among those with two answers or "
    "more.",
    "fixed, broken": "Questions whose answer changed from wrong to right, or from right to wrong: by the step, or from "
    "turn 1 to the final answer. A reply without an answer changes nothing.",
    "after turn k": "The newest answer by the end of the turn. A run that ended earlier keeps its last answer, so that "
    "every turn covers all questions.",
    "tokens": "Means per question of input (including cached input) and output, over the questions whose every reply "
    "has token usage.",
    "tokens per right answer": "All those tokens divided by the number of right answers.",
    "s mean, s median": "Model seconds per question, measured at the concurrency of the evaluation.",
    "no answer": "The share of replies without a readable answer.",
    "truncated": "The share of replies that ended at the token limit.",
    "errors": "Questions with a call that failed after its retries. Degraded: questions that ended with fewer turns "
    "than planned, or without a synthesis.",
    "p": "McNemar's exact test, two-sided: the probability of a split at least as uneven if both arms were equally "
    "good. Below 0.05 a difference counts as significant.",
}
"""The definition of each figure."""

_TITLE = "Does refining help?"


def page(report: Report) -> str:
    """Return the report's page; the same report gives the same bytes.

    Raises:
        SetupError: matplotlib is not installed.
    """
    figures = [tag("figure", tag("figcaption", title), svg) for title, svg in plots(report)]
    settings = {key: _format_setting(value) for key, value in report.settings.items()}
    parts = [
        tag("h1", _TITLE),
        tag("p", {"class": "recommendation"}, report.recommendation),
        *(tag("p", {"class": "gap"}, gap) for gap in gaps(report)),
        tag("div", {"class": "plots"}, *figures),
        *map(_table, tables(report)),
        tag("h2", "Settings"),
        _definitions(settings),
        tag("h2", "Definitions"),
        _definitions(TERMS),
    ]
    return document(_TITLE, _CSS, tag("body", tag("main", *parts)))


def _table(table: Table) -> Element:
    def cell(name: str, column: int, text: str, **attributes: str) -> Element:
        if column < table.text_columns:
            attributes["class"] = "text"
        return tag(name, attributes, text)

    head = tag("tr", *(cell("th", column, heading, scope="col") for column, heading in enumerate(table.headings)))
    rows = [tag("tr", *(cell("td", column, text) for column, text in enumerate(row))) for row in table.rows]
    content = tag("table", tag("caption", table.title), tag("thead", head), tag("tbody", *rows))
    # tabindex makes the scrolling box reachable by keyboard.
    box = tag("div", {"class": "wide", "tabindex": "0", "role": "region", "aria-label": table.title}, content)
    return tag("section", box, *([tag("p", {"class": "note"}, table.note)] if table.note else []))


def _definitions(items: dict[str, str]) -> Element:
    return tag("dl", *(part for term, text in items.items() for part in (tag("dt", term), tag("dd", text))))


def _format_setting(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
