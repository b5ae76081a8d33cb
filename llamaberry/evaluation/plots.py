"""The report's four plots as SVG elements for the page: transparent, with lines and text in the page's text colour."""

import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, fromstring

from llamaberry.evaluation.measures import INSTALL_HINT, ArmFigures, Rate
from llamaberry.evaluation.report import Report
from llamaberry.graph.errors import SetupError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#010203"  # a marker, replaced by the page's text colour
_GRID = "#8080804d"
_FIXED, _BROKEN = "#16a34a", "#dc2626"
# Medium lightness: visible on white and on black.
_COLOURS = ["#3b82f6", "#d97706", "#16a34a", "#a855f7", "#ec4899", "#7d8796"]
_MARKERS = "osD^vPX"  # 7 markers and 6 colours: 42 distinct pairs
_STYLE: Any = {  # matplotlib types the keys as a literal of all their names
    "svg.fonttype": "none",  # text stays text: searchable, and readable by screen readers
    "svg.hashsalt": "llamaberry",
    "text.parse_math": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.markersize": 6,
    "errorbar.capsize": 3,
}
_WIDTH_INCHES = 4.6  # readable when a phone's screen shrinks it


def plots(report: Report) -> list[tuple[str, Element]]:
    """Return the title and SVG of each plot that has figures to show.

    Raises:
        SetupError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise SetupError(INSTALL_HINT) from error
    arms = [(number, arm) for number, arm in enumerate(report.arms) if arm.accuracy.n]
    with_turns = [(number, arm) for number, arm in arms if arm.by_turn]
    with_cost = [(number, arm) for number, arm in arms if arm.cost]
    with rc_context(_STYLE):
        figures = [
            ("Accuracy of each arm, with its 95% interval", arms and _accuracy(arms)),
            ("Accuracy turn by turn", with_turns and _by_turn(with_turns)),
            ("Answers that each step fixed and broke", _steps([arm for _, arm in with_turns])),
            ("Accuracy against cost", with_cost and _cost(with_cost)),
        ]
        return [(title, _svg(figure, f"plot{n}", title)) for n, (title, figure) in enumerate(figures) if figure]


def _accuracy(arms: Sequence[tuple[int, ArmFigures]]) -> "Figure":
    figure, axes = _figure(0.9 + 0.38 * len(arms))
    for row, (number, arm) in enumerate(arms):
        [share] = _draw_rates(axes, number, [row], [arm.accuracy], horizontal=True)
        axes.annotate(f"{share:.0f}%", (share, row), (0, 6), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(arms)), [arm.name for _, arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.7)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("% right")
    axes.grid(visible=False, axis="y")
    return figure


def _by_turn(arms: Sequence[tuple[int, ArmFigures]]) -> "Figure":
    figure, axes = _figure(2.6, arms_in_legend=len(arms))
    last = max(len(arm.by_turn) - 1 for _, arm in arms)
    for index, (number, arm) in enumerate(arms):
        shift = 0.08 * (index - (len(arms) - 1) / 2)  # keeps the intervals apart
        # The final answers of all arms share one position, whatever their number of turns.
        steps = [(last + 1 if name == "final" else n) + shift for n, name in enumerate(arm.by_turn, start=1)]
        _draw_rates(axes, number, steps, arm.by_turn.values(), label=arm.name)
    axes.set_xticks(range(1, last + 2), [*map(str, range(1, last + 1)), "final"])
    axes.set_xlabel("turn")
    axes.set_ylabel("% right")
    _legend(figure)
    return figure


def _steps(arms: Sequence[ArmFigures]) -> "Figure | None":
    steps = [(f"{arm.name} · {name}", change) for arm in arms for name, change in arm.steps.items()]
    rows = [(name, change) for name, change in steps if change.n]
    if not rows:
        return None
    figure, axes = _figure(1.2 + 0.3 * len(rows))
    positions = range(len(rows))
    fixed, broken = [change.fixed for _, change in rows], [change.broken for _, change in rows]
    bars = [(fixed, 1, _FIXED, "fixed"), (broken, -1, _BROKEN, "broken")]
    for counts, side, colour, label in bars:
        axes.barh(positions, [side * count for count in counts], color=colour, label=label, height=0.6)
        for row, count in enumerate(counts):
            align = "left" if side > 0 else "right"
            offset = (4 * side, 0)
            axes.annotate(f"{count}", (side * count, row), offset, textcoords="offset points", ha=align, va="center")
    widest = max([*fixed, *broken, 1])
    axes.set_xlim(-1.25 * widest, 1.25 * widest)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(positions, [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_xlabel("questions")
    axes.grid(visible=False)
    _legend(figure)
    return figure


def _cost(arms: Sequence[tuple[int, ArmFigures]]) -> "Figure":
    figure, axes = _figure(2.6, arms_in_legend=len(arms))
    for number, arm in arms:
        tokens = arm.cost.total if arm.cost else 0
        _draw_rates(axes, number, [tokens], [arm.accuracy], linestyle="none", label=arm.name)
    axes.set_xlim(0, 1.1 * max(arm.cost.total for _, arm in arms if arm.cost) or 1)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("tokens per question")
    axes.set_ylabel("% right")
    _legend(figure)
    return figure


def _figure(inches: float, *, arms_in_legend: int = 0) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    height = inches + 0.22 * ((arms_in_legend + 1) // 2)
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    return figure, figure.subplots()


def _legend(figure: "Figure") -> None:
    figure.legend(loc="outside lower center", ncols=2)


def _draw_rates(
    axes: "Axes", number: int, positions: Sequence[float], rates: Iterable[Rate], **style: Any
) -> list[float]:
    """Draw rates in percent with their intervals, in the arm's own colour and marker; return the percentages."""
    import numpy as np

    shares, lows, highs = 100 * np.array([(rate.share, rate.low, rate.high) for rate in rates]).T
    errors = np.maximum([shares - lows, highs - shares], 0)  # rounding may turn 0 into -1e-15
    style |= {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
    if style.pop("horizontal", False):
        axes.errorbar(shares, positions, xerr=errors, **style)
    else:
        axes.errorbar(positions, shares, yerr=errors, **style)
    return list(shares)


def _svg(figure: "Figure", name: str, title: str) -> Element:
    """Return the figure as an element; the prefix `name` makes its ids unique in the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    for pattern, replacement in {
        r"<style.*?</style>": "",  # it would apply to the whole page
        r'\bxmlns(:xlink)?="[^"]*"|xlink:': "",  # HTML has no namespaces
        r'(\bid="|href="#|url\(#)': rf"\1{name}-",
        r' (width|height)="[\d.]+pt"': "",
        _INK: "currentColor",
    }.items():
        text = re.sub(pattern, replacement, text)
    svg = fromstring(text)
    svg.attrib |= {"role": "img", "aria-label": title}
    return svg
