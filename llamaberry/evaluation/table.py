"""The report as tables that fit a terminal: the command prints them, and the page shows them."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from llamaberry.console import plain
from llamaberry.evaluation.measures import Change, Rate
from llamaberry.evaluation.report import Report

if TYPE_CHECKING:
    from rich.console import Console


class Table(NamedTuple):
    """Headings and rows of cells; the first `text_columns` columns hold text, the others figures."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    note: str = ""


def tables(report: Report) -> list[Table]:
    """Return the report's tables in reading order, without the empty ones."""
    candidates = [_arms(report), _turns(report), _cost(report), _dollars(report), _replies(report), _pairs(report)]
    if len(report.tasks) > 1:
        candidates.append(_tasks(report))
    return [table for table in candidates if table.rows]


def print_report(report: Report, console: "Console") -> None:
    """Print the tables, the arms with missing questions, and the recommendation."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    for table in tables(report):
        grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        for column, heading in enumerate(table.headings):
            # In a narrow terminal only the first column, which holds the names, is wrapped.
            justify: Any = "left" if column < table.text_columns else "right"
            grid.add_column(heading, justify=justify, no_wrap=column > 0, overflow="fold")
        for row in table.rows:
            grid.add_row(*map(Text, row))
        note = [Text(table.note, "dim")] if table.note else []
        console.print(Text(table.title, "bold"), grid, *note, "", sep="\n")
    for gap in gaps(report):
        console.print(Text(gap, "yellow"))
    console.print(Text(plain(report.recommendation), "bold"))


def gaps(report: Report) -> list[str]:
    """Return a sentence for each arm that lacks questions which other arms answered."""
    return [
        f"{arm.name} lacks {arm.missing} of the {report.questions} questions: compare it by the pairs only."
        if arm.accuracy.n
        else f"{arm.name} has none of the {report.questions} questions."
        for arm in report.arms
        if arm.missing
    ]


def _arms(report: Report) -> Table:
    rows = []
    for arm in report.arms:
        rate, change = arm.accuracy, arm.overall if arm.by_turn else None
        flips = (change.fixed, change.broken) if change else ("", "")
        rows.append(_row(arm.name, rate.n, rate.right, *_rate(rate), _percent(arm.agreement), *flips))
    headings = ("arm", "n", "right", "accuracy", "95% interval", "agree", "fixed", "broken")
    return Table("Arms", headings, rows)


def _turns(report: Report) -> Table:
    rows = []
    for arm in report.arms:
        turns: list[tuple[str, Rate | None, Change | None]]
        turns = [(name, rate, arm.steps.get(name)) for name, rate in arm.by_turn.items() if name != "final"]
        synthesis = ("synthesis", arm.by_turn.get("final"), arm.steps.get("synthesis"))
        turns[1:1] = [("program", None, arm.steps["program"])] if "program" in arm.steps else []
        steps = [*turns, ("refining", None, arm.refining), synthesis, ("overall", None, arm.overall)] if turns else []
        for index, (name, rate, change) in enumerate(steps):
            counts = (change.fixed, change.broken, change.kept_right, change.kept_wrong) if change else ("",) * 4
            rows.append(_row("" if index else arm.name, name, *(_rate(rate) if rate else ("", "")), *counts))
    headings = ("arm", "after", "accuracy", "interval", "fixed", "broken", "kept\nright", "kept\nwrong")
    return Table("Turn by turn", headings, rows, text_columns=2)


def _cost(report: Report) -> Table:
    rows = []
    for arm in report.arms:
        cost = arm.cost
        tokens = (cost.input, cost.cached, cost.output, cost.total, cost.tokens_per_right) if cost else (None,) * 5
        seconds = [_number(seconds, 1) for seconds in (arm.seconds_mean, arm.seconds_median)]
        rows.append((arm.name, *map(_number, tokens), *seconds))
    headings = ("arm", "input", "cached", "output", "tokens", "tokens per\nright answer", "s\nmean", "s\nmedian")
    return Table("Cost per question", headings, rows)


def _dollars(report: Report) -> Table:
    rows = [
        (arm.name, _usd(arm.cost.usd), _usd(arm.cost.usd_per_right))
        for arm in report.arms
        if arm.cost and arm.cost.usd is not None
    ]
    return Table("US dollars", ("arm", "per question", "per right answer"), rows)


def _replies(report: Report) -> Table:
    rows = []
    for arm in report.arms:
        calls = _number(arm.calls_mean, 1), _number(arm.calls_median)
        problems = _percent(arm.unparsed), _percent(arm.truncated), arm.errors, arm.degraded
        rows.append(_row(arm.name, *calls, *problems))
    headings = ("arm", "calls\nmean", "calls\nmedian", "no answer", "truncated", "errors", "degraded")
    return Table("Calls per question, and problems", headings, rows)


def _pairs(report: Report) -> Table:
    rows = []
    for pair in report.pairs:
        points = "–" if pair.points is None else f"{pair.points:+.1f}"
        p = "<0.001" if pair.p < 0.001 else f"{pair.p:.3f}"
        names = f"{pair.second}\nagainst {pair.first}"
        rows.append(_row(names, pair.both, pair.only_second, pair.only_first, pair.neither, points, p))
    correction = f"p is not corrected for the {len(rows)} comparisons. " if len(rows) > 1 else ""
    headings = ("pair", "both\nright", "only the\nfirst", "only the\nother", "neither", "points", "p")
    return Table("Pairs of arms", headings, rows, note=f"{correction}Points: the lead of the first arm.")


def _tasks(report: Report) -> Table:
    cells = [
        _row(" ".join(plain(task).split()) or "(no task)", name, rate.n, rate.right, *_rate(rate))
        for task, arms in report.tasks.items()
        for name, rate in arms.items()
    ]
    rows = [
        ("" if index else task, *row[1:])
        for task, of_task in groupby(cells, key=lambda row: row[0])
        for index, row in enumerate(of_task)
    ]
    return Table("Tasks", ("task", "arm", "n", "right", "accuracy", "interval"), rows, text_columns=2)


def _row(*values: str | int) -> list[str]:
    return [value if isinstance(value, str) else f"{value:,}" for value in values]


def _rate(rate: Rate) -> tuple[str, str]:
    if rate.low is None or rate.high is None:
        return "–", "–"
    return _percent(rate.share), f"{100 * rate.low:.0f}–{100 * rate.high:.0f}%"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def _number(value: float | None, places: int = 0) -> str:
    return "–" if value is None else f"{value:,.{places}f}"


def _usd(value: float | None) -> str:
    return "–" if value is None else f"${value:,.6f}" if value < 0.01 else f"${value:,.4f}"
