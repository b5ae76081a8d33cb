"""The report's four plots, as SVG that stands inside a page: no colour of paper, and ink in the colour of its text."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, fromstring

from llamaberry.evaluation.measures import NEEDS, ArmFigures, Rate
from llamaberry.evaluation.report import Report
from llamaberry.graph.errors import SetupError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#010203"  # becomes the colour of the text around it
_GRID = "#8080804d"
_FIXED, _BROKEN = "#16a34a", "#dc2626"
# Of middling lightness, so that each stands out from white and from black.
_COLOURS = ["#3b82f6", "#d97706", "#16a34a", "#a855f7", "#ec4899", "#7d8796"]
_MARKERS = "osD^vPX"  # one more than colours: the seventh arm looks like no other
_STYLE: Any = {  # its type names every key of every version
    "svg.fonttype": "none",  # texts stay texts: they can be searched, and read aloud
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
_WIDTH = 4.6  # inches: on a telephone it is shrunk a little, and stays readable


def plots(report: Report) -> list[tuple[str, Element]]:
    """Return each plot with its title, those left out for which there are no figures.

    Raises:
        SetupError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise SetupError(NEEDS) from error
    asked = [(number, arm) for number, arm in enumerate(report.arms) if arm.accuracy.n]
    refined = [(number, arm) for number, arm in asked if arm.by_turn]
    counted = [(number, arm) for number, arm in asked if arm.spent]
    with rc_context(_STYLE):
        drawn = [
            ("Accuracy of each arm, with its 95% interval", asked and _accuracy(asked)),
            ("Accuracy turn by turn", refined and _by_turn(refined)),
            ("What each step fixed, and what it broke", _steps([arm for _, arm in refined])),
            ("Accuracy against cost", counted and _cost(counted)),
        ]
        return [(title, _svg(figure, f"plot{n}", title)) for n, (title, figure) in enumerate(drawn) if figure]


def _accuracy(arms: Sequence[tuple[int, ArmFigures]]) -> "Figure":
    figure, axes = _figure(0.9 + 0.38 * len(arms))
    for row, (number, arm) in enumerate(arms):
        colour, marker = _look(number)
        share, below, above = _interval(arm.accuracy)
        axes.errorbar([share], [row], xerr=[[below], [above]], color=colour, marker=marker)
        axes.annotate(f"{share:.0f}%", (share, row), (0, 6), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(arms)), [arm.name for _, arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.7)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("% right")
    axes.grid(visible=False, axis="y")
    return figure


def _by_turn(arms: Sequence[tuple[int, ArmFigures]]) -> "Figure":
    figure, axes = _figure(2.6 + _legend_inches(arms))
    last = max(len(arm.by_turn) - 1 for _, arm in arms)
    for place, (number, arm) in enumerate(arms):
        colour, marker = _look(number)
        shift = 0.08 * (place - (len(arms) - 1) / 2)  # so that intervals do not lie upon each other
        # The final answers stand below one another, however many turns came before them.
        steps = [(last + 1 if name == "final" else n) + shift for n, name in enumerate(arm.by_turn, start=1)]
        shares = [_interval(rate) for rate in arm.by_turn.values()]
        axes.errorbar(
            steps,
            [share for share, _, _ in shares],
            yerr=[[below for _, below, _ in shares], [above for _, _, above in shares]],
            color=colour,
            marker=marker,
            label=arm.name,
        )
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
    places = range(len(rows))
    fixed, broken = [change.fixed for _, change in rows], [change.broken for _, change in rows]
    bars = [(fixed, 1, _FIXED, "fixed"), (broken, -1, _BROKEN, "broken")]
    for counts, side, colour, label in bars:
        axes.barh(places, [side * count for count in counts], color=colour, label=label, height=0.6)
        for row, count in enumerate(counts):
            at = (side * count, row)
            where = "left" if side > 0 else "right"
            axes.annotate(f"{count}", at, (4 * side, 0), textcoords="offset points", ha=where, va="center")
    widest = max([*fixed, *broken, 1])
    axes.set_xlim(-1.25 * widest, 1.25 * widest)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(places, [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_xlabel("questions")
    axes.grid(visible=False)
    _legend(figure)
    return figure


def _cost(arms: Sequence[tuple[int, ArmFigures]]) -> "Figure":
    figure, axes = _figure(2.6 + _legend_inches(arms))
    for number, arm in arms:
        colour, marker = _look(number)
        share, below, above = _interval(arm.accuracy)
        tokens = arm.spent.total if arm.spent else 0
        axes.errorbar(
            [tokens], [share], yerr=[[below], [above]], color=colour, marker=marker, label=arm.name, linestyle="none"
        )
    axes.set_xlim(0, 1.1 * max(arm.spent.total for _, arm in arms if arm.spent) or 1)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("tokens a question")
    axes.set_ylabel("% right")
    _legend(figure)
    return figure


def _figure(inches: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, inches), layout="constrained")
    return figure, figure.subplots()


def _legend(figure: "Figure") -> None:
    figure.legend(loc="outside lower center", ncols=2)


def _legend_inches(arms: Sequence[object]) -> float:
    return 0.22 * ((len(arms) + 1) // 2)


def _look(number: int) -> tuple[str, str]:
    """Return the colour and the marker of an arm: the same in every plot."""
    return _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]


def _interval(rate: Rate) -> tuple[float, float, float]:
    """Return the share in percent, and how far its interval reaches below and above."""
    share, low, high = (100 * (value or 0) for value in (rate.share, rate.low, rate.high))
    return share, max(share - low, 0), max(high - share, 0)  # rounding makes -1e-15 of 0


def _svg(figure: "Figure", name: str, title: str) -> Element:
    """Return the figure as an element; `name` keeps its ids apart from those of the page's other figures."""
    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = fromstring(written.getvalue())
    for element in svg.iter():
        element.tag = element.tag.rpartition("}")[2]  # within HTML there are no namespaces
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        for key, value in attributes.items():
            marked = f"{name}-{value}" if key == "id" else value.replace("url(#", f"url(#{name}-")
            marked = f"#{name}-{value[1:]}" if key == "href" else marked
            attributes[key] = marked.replace(_INK, "currentColor")
        element.attrib = attributes
    for defs in svg.findall("defs"):
        for style in defs.findall("style"):
            defs.remove(style)  # it would hold for the whole page
    for size in ("width", "height"):
        del svg.attrib[size]
    svg.attrib |= {"role": "img", "aria-label": title}
    return svg
