"""The report as tables, narrow enough for a terminal: what the command prints, and what the page shows."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from llamaberry.console import plain
from llamaberry.evaluation.measures import Change, Rate
from llamaberry.evaluation.report import Report

if TYPE_CHECKING:
    from rich.console import Console


class Table(NamedTuple):
    """Rows of texts below headings; the first `words` columns are words, the others figures."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    note: str = ""


def tables(report: Report) -> list[Table]:
    """Return what there is to tell, in the order in which it is read; a table without a row is left out."""
    found = [_arms(report), _turns(report), _cost(report), _dollars(report), _replies(report), _pairs(report)]
    found += [_tasks(report)] if len(report.tasks) > 1 else []
    return [table for table in found if table.rows]


def print_report(report: Report, console: "Console") -> None:
    """Print the tables, what is missing, and the sentence that says what they mean."""
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    for table in tables(report):
        drawn = Drawn(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        for place, heading in enumerate(table.headings):
            # Where it is too narrow the first column gives way, which holds the names.
            drawn.add_column(heading, justify="left" if place < table.words else "right", no_wrap=place > 0)
            drawn.columns[place].overflow = "fold"
        for row in table.rows:
            drawn.add_row(*map(Text, row))
        note = [Text(table.note, "dim")] if table.note else []
        console.print(Text(table.title, "bold"), drawn, *note, "", sep="\n")
    for gap in gaps(report):
        console.print(Text(gap, "yellow"))
    console.print(Text(plain(report.recommendation), "bold"))


def gaps(report: Report) -> list[str]:
    """Return a sentence for each arm that lacks questions which other arms have."""
    return [
        f"{arm.name} lacks {arm.missing} of the {report.questions} questions: compare it by the pairs alone."
        if arm.accuracy.n
        else f"{arm.name} was asked none of the {report.questions} questions."
        for arm in report.arms
        if arm.missing
    ]


def _arms(report: Report) -> Table:
    rows = [
        (
            *(arm.name, f"{arm.accuracy.n}", f"{arm.accuracy.right}", *_rate(arm.accuracy), _percent(arm.agreement)),
            *((f"{arm.overall.fixed}", f"{arm.overall.broken}") if arm.by_turn else ("", "")),
        )
        for arm in report.arms
    ]
    return Table("Arms", ("arm", "asked", "right", "accuracy", "95% interval", "agree", "fixed", "broken"), rows)


def _turns(report: Report) -> Table:
    def row(name: str, rate: Rate | None, change: Change | None) -> tuple[str, ...]:
        changes = (change.fixed, change.broken, change.kept_right, change.kept_wrong) if change else None
        return name, *(_rate(rate) if rate else ("", "")), *(map(str, changes) if changes else [""] * 4)

    rows = []
    for arm in report.arms:
        if not arm.by_turn:
            continue
        first, *later = [name for name in arm.by_turn if name != "final"]
        told = [row(first, arm.by_turn[first], None)]
        told += [row(name, arm.by_turn[name], arm.steps[name]) for name in later]
        told += [row("refining", None, arm.refining)]
        told += [
            row("synthesis", arm.by_turn["final"], arm.steps["synthesis"]),
            row("in all", None, arm.overall),
        ]
        rows += [(arm.name if number == 0 else "", *cells) for number, cells in enumerate(told)]
    headings = ("arm", "after", "accuracy", "interval", "fixed", "broken", "kept\nright", "kept\nwrong")
    return Table("Turn by turn", headings, rows, words=2)


def _cost(report: Report) -> Table:
    rows = []
    for arm in report.arms:
        means = (arm.spent.input, arm.spent.cached, arm.spent.output, arm.spent.total) if arm.spent else [None] * 4
        per_right = arm.spent.tokens_per_right if arm.spent else None
        seconds = [_number(seconds, 1) for seconds in (arm.seconds_mean, arm.seconds_median)]
        rows.append((arm.name, *map(_number, means), _number(per_right), *seconds))
    headings = ("arm", "input", "cached", "output", "tokens", "tokens per\nright one", "s\nmean", "s\nmedian")
    return Table("A question's cost", headings, rows)


def _dollars(report: Report) -> Table:
    rows = [
        (arm.name, _usd(arm.spent.usd), _usd(arm.spent.usd_per_right))
        for arm in report.arms
        if arm.spent and arm.spent.usd is not None
    ]
    return Table("US dollars", ("arm", "a question", "a right answer"), rows)


def _replies(report: Report) -> Table:
    rows = [
        (
            *(arm.name, f"{arm.replies:,}", _percent(arm.unparsed), _percent(arm.cut)),
            *(f"{arm.errors}", f"{arm.degraded}"),
        )
        for arm in report.arms
    ]
    return Table("What went wrong", ("arm", "replies", "no answer read", "cut", "errors", "degraded"), rows)


def _pairs(report: Report) -> Table:
    rows = [
        (
            *(f"{pair.second}\nagainst {pair.first}", f"{pair.both}"),
            *(f"{pair.only_second}", f"{pair.only_first}", f"{pair.neither}"),
            *("–" if pair.points is None else f"{pair.points:+.1f}", "<0.001" if pair.p < 0.001 else f"{pair.p:.3f}"),
        )
        for pair in report.pairs
    ]
    count = f"{len(rows)} comparisons, p not corrected for it" if len(rows) > 1 else "1 comparison"
    headings = ("pair", "both\nright", "only the\nfirst", "only the\nother", "neither", "points", "p")
    return Table("Pairs of arms", headings, rows, note=f"{count}. Points: how far the first is ahead of the other.")


def _tasks(report: Report) -> Table:
    cells = [
        (" ".join(plain(task).split()) or "(no task)", name, f"{rate.n}", f"{rate.right}", *_rate(rate))
        for task, arms in report.tasks.items()
        for name, rate in arms.items()
    ]
    rows = [
        (task if number == 0 else "", *cell[1:])
        for task, of_task in groupby(cells, key=lambda cell: cell[0])
        for number, cell in enumerate(of_task)
    ]
    return Table("Tasks", ("task", "arm", "asked", "right", "accuracy", "interval"), rows, words=2)


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
