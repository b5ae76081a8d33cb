"""The plots of docs/performance.md as SVG files."""

from pathlib import Path
from typing import Any

from benchmarks.measure import Json

PLAIN, OURS = "#888888", "#7b2d8b"
VARIANTS = (("baseline", "plain loop", PLAIN), ("ours", "Llamaberry", OURS))


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
            for panel in axes:
                panel.spines[["top", "right"]].set_visible(False)
                panel.set_ylim(bottom=0)
            axes[0].legend(frameon=False)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


def _overhead(result: Json, *axes: Any) -> None:
    for panel, stream in zip(axes, (False, True), strict=True):
        rows = [row for row in result["by_turns"] if row["stream"] == stream]
        for name, label, colour in VARIANTS:
            cpu_ms = [row[name]["cpu_ms"]["median"] for row in rows]
            panel.plot([row["turns"] for row in rows], cpu_ms, "o-", color=colour, label=label)
        panel.set(xlabel="turns", ylabel="CPU ms per run", title="streamed" if stream else "not streamed")


def _throughput(result: Json, left: Any, right: Any) -> None:
    concurrency = [row["at_once"] for row in result["rows"]]
    for panel, key in ((left, "runs_per_s"), (right, "p50_s")):
        for name, label, colour in VARIANTS:
            values = [row[name][key]["median"] for row in result["rows"]]
            panel.plot(concurrency, values, "o-", color=colour, label=label)
    left.set(xscale="log", xlabel="concurrent runs", ylabel="runs per second")
    right.set(xscale="log", xlabel="concurrent runs", ylabel="seconds per run (p50)")


def _tokens(result: Json, left: Any, right: Any) -> None:
    rows = [row for row in result["scripted"] if row["reply_tokens"] == 400]
    turns = [row["refine_turns"] for row in rows]
    for panel, key, title in (
        (left, "later_prompts", "cache of prompts"),
        (right, "later_replies", "cache of prompts and replies"),
    ):
        for name, label, colour in VARIANTS:
            panel.plot(turns, [row[name][key] for row in rows], "o-", color=colour, label=label)
        panel.set(xlabel="refine turns", ylabel="uncached prompt tokens", title=title)


def _growth(result: Json, left: Any, right: Any) -> None:
    turns = [row["turns"] for row in result["rows"]]
    for key, label, colour in (("reply_bytes", "replies", PLAIN), ("checkpoints_bytes", "checkpoints", OURS)):
        left.plot(turns, [row[key] / 1024 for row in result["rows"]], "o-", color=colour, label=label)
    for name, colour in (("none", PLAIN), ("sqlite", OURS)):
        right.plot(turns, [row[name]["wall_ms"]["median"] for row in result["rows"]], "o-", color=colour)
    left.set(xlabel="turns", ylabel="KiB per thread in SQLite")
    right.set(xlabel="turns", ylabel="wall ms per run, no latency")
