"""The plots of docs/performance.md as SVG files."""

from pathlib import Path
from typing import Any

from benchmarks.measure import Json

PLAIN, OURS = "#888888", "#7b2d8b"


def draw(results: Json, folder: Path) -> None:
    """Draw a plot of each available result."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "llamaberry", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in {"overhead": _overhead, "throughput": _throughput, "tokens": _tokens, "growth": _growth}.items():
        if name in results:
            figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
            plot(results[name], *axes)
            for one in axes:
                one.spines[["top", "right"]].set_visible(False)
                one.set_ylim(bottom=0)
            axes[0].legend(frameon=False)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


def _overhead(result: Json, *axes: Any) -> None:
    for one, stream in zip(axes, (False, True), strict=True):
        rows = [row for row in result["by_turns"] if row["stream"] == stream]
        for name, label, colour in (("baseline", "plain loop", PLAIN), ("ours", "Llamaberry", OURS)):
            cost = [row[name]["cpu_ms"]["median"] for row in rows]
            one.plot([row["turns"] for row in rows], cost, "o-", color=colour, label=label)
        one.set(xlabel="turns", ylabel="CPU ms a run", title="streamed" if stream else "not streamed")


def _throughput(result: Json, left: Any, right: Any) -> None:
    places = [row["at_once"] for row in result["rows"]]
    for name, label, colour in (("baseline", "plain loop", PLAIN), ("ours", "Llamaberry", OURS)):
        left.plot(
            places, [row[name]["runs_per_s"]["median"] for row in result["rows"]], "o-", color=colour, label=label
        )
        right.plot(places, [row[name]["p50_s"]["median"] for row in result["rows"]], "o-", color=colour)
    left.set(xscale="log", xlabel="runs at once", ylabel="runs a second")
    right.set(xscale="log", xlabel="runs at once", ylabel="seconds of a run (p50)")


def _tokens(result: Json, left: Any, right: Any) -> None:
    rows = [row for row in result["scripted"] if row["reply_tokens"] == 400]
    places = [row["refine_turns"] for row in rows]
    for one, kept, title in ((left, "later_prompts", "prompts are kept"), (right, "later_replies", "replies too")):
        for name, label, colour in (("baseline", "plain loop", PLAIN), ("ours", "Llamaberry", OURS)):
            one.plot(places, [row[name][kept] for row in rows], "o-", color=colour, label=label)
        one.set(xlabel="refine turns", ylabel="prompt tokens not served", title=title)


def _growth(result: Json, left: Any, right: Any) -> None:
    places = [row["turns"] for row in result["rows"]]
    for key, label, colour in (("reply_bytes", "replies", PLAIN), ("checkpoints_bytes", "checkpoints", OURS)):
        left.plot(places, [row[key] / 1024 for row in result["rows"]], "o-", color=colour, label=label)
    for name, colour in (("none", PLAIN), ("sqlite", OURS)):
        right.plot(places, [row[name]["wall_ms"]["median"] for row in result["rows"]], "o-", color=colour)
    left.set(xlabel="turns", ylabel="KiB of a thread in SQLite")
    right.set(xlabel="turns", ylabel="wall ms a run, no latency")
