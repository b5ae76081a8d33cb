"""What the results say: tables for the terminal and for docs/performance.md, and which goals are met."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table as RichTable

from benchmarks.layers import LAYERS
from benchmarks.measure import ROOT, Json
from benchmarks.overhead import SAVERS

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- written by python -m benchmarks -->\n", "<!-- end of what it writes -->\n"
KEPT = {
    "later_replies": "later run, replies kept",
    "later_prompts": "later run, prompts kept",
    "first_prompts": "first run, prompts kept",
}


class Table(NamedTuple):
    """A table of words."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(results: Json, before: Json) -> list[Table]:
    """Return a table of each measurement that is there; `before` holds those of the state that was measured before."""
    made = {
        "overhead": lambda found: _overhead(found, before.get("overhead")),
        "layers": lambda found: _layers(found, before.get("layers")),
        "throughput": _throughput,
        "tokens": _tokens,
        "local": _local,
        "start": _start,
        "growth": _growth,
    }
    return [table for name, make in made.items() if name in results for table in make(results[name])] + [
        Table("Goals", ("goal", "measured", "met"), goals(results))
    ]


def as_rich(table: Table) -> RichTable:
    """Return a table for the terminal."""
    shown = RichTable(*table.columns, title=table.title, box=box.SIMPLE, title_justify="left")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def write_page(results: Json, shown: Sequence[Table]) -> None:
    """Put the tables into docs/performance.md, in the place of the last ones."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    parts = [_taken(results)]
    for title, columns, rows in shown:
        lines = [columns, ["---"] * len(columns), *rows]
        parts.append(f"### {title}\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n\n{END}{tail}", encoding="utf-8")


def _taken(results: Json) -> str:
    lines = []
    for name, found in results.items():
        on = found["machine"]
        lines.append(f"- {name}: {on['date']}, {on['cpus']} CPUs, load {on['load']:g}, Python {on['python']}")
    packages = next(iter(results.values()))["machine"]["versions"].items()
    versions = ", ".join(f"{name} {number}" for name, number in packages)
    return "\n".join([*lines, "", f"With {versions}."])


def goals(results: Json) -> list[tuple[str, str, str]]:
    """Return each goal whose measurement is there, what was measured, and whether that meets it."""
    rows: list[tuple[str, str, str]] = []

    def add(goal: str, measured: float, most: float, unit: str = "times") -> None:
        rows.append((goal, f"{measured:.2f} {unit}", "yes" if measured <= most else "no"))

    if found := results.get("overhead"):
        for setting in found["by_setting"]:
            if setting["latency_ms"] == 200:
                streamed = ", streamed" if setting["stream"] else ""
                wall = setting["none"]["wall_ratio"]["median"]
                add(f"wall time at 200 ms, one run at once{streamed}: at most 1.02 times the plain loop's", wall, 1.02)
        for stream in (False, True):
            worst = max(row["ours"]["cpu_ratio"]["median"] for row in found["by_turns"] if row["stream"] == stream)
            how = "streamed" if stream else "not streamed"
            add(f"CPU of a run, {how}, the most of 1 to 10 turns: at most 2.5 times the plain loop's", worst, 2.5)
    for row in results.get("throughput", {}).get("rows", []):
        if row["at_once"] == 100:
            add("wall time at 200 ms, 100 runs at once: at most 1.1 times", row["p50_s_ratio"]["median"], 1.1)
    for row in results.get("tokens", {}).get("scripted", []):
        most = {2: 0.7, 6: 0.6}.get(row["refine_turns"])
        if most and row["reply_tokens"] == 400:
            for kept, told in KEPT.items():
                goal = f"uncached prompt tokens, {row['refine_turns']} refine turns, {told}: at most {most:g} times"
                add(goal, row["ours"][kept] / row["baseline"][kept], most)
    for row in results.get("local", {}).get("local", []):
        if row["refine_turns"] == 2:
            goal = f"uncached prompt tokens, 2 refine turns, {row['run']} run, local model: at most 0.7 times"
            add(goal, row["ours"]["uncached"] / row["baseline"]["uncached"], 0.7)
    if found := results.get("start"):
        ends = found["to_the_end"]
        for name in ("import llamaberry", "from llamaberry import graph"):
            add(f"`{name}`: at most the time of langgraph and langchain_groq", ends[name]["ratio"]["median"], 1)
        add("`llamaberry --version`: under 0.3 s", ends["llamaberry --version"]["s"]["median"], 0.3, "s")
    if found := results.get("growth"):
        size = {row["turns"]: row["checkpoints_bytes"] for row in found["rows"]}
        if {5, 10} <= size.keys():
            add("checkpoint bytes, 10 turns against 5: linear is at most 2 times", size[10] / size[5], 2)
    return rows


def _ms(cost: Json) -> str:
    return f"{cost['median']:.1f} ({cost['low']:.1f} to {cost['high']:.1f})"


def _times(cost: Json) -> str:
    return f"{cost['median']:.2f} ({cost['low']:.2f} to {cost['high']:.2f})"


def _overhead(found: Json, before: Json | None) -> list[Table]:
    old = {(row["turns"], row["stream"]): row["ours"] for row in (before or {"by_turns": []})["by_turns"]}
    turns = [
        [
            str(row["turns"]),
            "yes" if row["stream"] else "no",
            _ms(row["baseline"]["cpu_ms"]),
            _ms(row["ours"]["cpu_ms"]),
            _times(row["ours"]["cpu_ratio"]),
            *([_times(old[row["turns"], row["stream"]]["cpu_ratio"])] if before else []),
        ]
        for row in found["by_turns"]
    ]
    columns = ["turns", "streamed", "plain loop, CPU ms", "Llamaberry, CPU ms", "times"]
    columns += ["times, before"] if before else []
    settings = [
        [
            f"{row['latency_ms']} ms",
            "yes" if row["stream"] else "no",
            saver,
            _ms(row[saver]["cpu_ms"]),
            _times(row[saver]["cpu_ratio"]),
            f"{row[saver]['wall_ms']['median'] - row['baseline']['wall_ms']['median']:+.1f}",
            _times(row[saver]["wall_ratio"]),
        ]
        for row in found["by_setting"]
        for saver in SAVERS
    ]
    return [
        Table("Overhead by turns", columns, turns),
        Table(
            "Overhead at three turns",
            ("latency", "streamed", "checkpointer", "CPU ms", "times", "wall ms beyond the plain loop", "times"),
            settings,
        ),
    ]


def _layers(found: Json, before: Json | None) -> list[Table]:
    def own(measured: Json, name: str) -> tuple[str, str]:
        names = list(LAYERS)
        under = names[names.index(name) - 1] if name != "baseline" else None
        spent = measured[name]["cpu_ms"]["median"]
        mine = spent - (measured[under]["cpu_ms"]["median"] if under else 0)
        return f"{spent:.1f} ({measured[name]['cpu_ratio']['median']:.2f})", (
            f"{mine:.1f} ({mine / measured['ours']['cpu_ms']['median']:.0%})"
        )

    columns = ["layer", "CPU ms down to it (times the plain loop)", "its own (share of the run)"]
    columns += ["before", "its own, before"] if before else []
    rows = [[told, *own(found, name), *(own(before, name) if before else ())] for name, told in LAYERS.items()]
    return [Table("Where the CPU of a run goes", columns, rows)]


def _throughput(found: Json) -> list[Table]:
    rows = [
        [
            str(row["at_once"]),
            who,
            f"{row[name]['runs_per_s']['median']:.1f}",
            f"{row[name]['p50_s']['median']:.2f}",
            f"{row[name]['p99_s']['median']:.2f}",
            f"{row[name]['cpu_ms']['median']:.1f}",
            f"{row[name]['kib_per_run']['median']:.0f}",
            _times(row["p50_s_ratio"]) if name == "ours" else "",
        ]
        for row in found["rows"]
        for name, who in (("baseline", "plain loop"), ("ours", "Llamaberry"))
    ]
    columns = ("at once", "who", "runs/s", "p50 s", "p99 s", "CPU ms a run", "KiB a run at once", "p50, times")
    return [Table("Throughput", columns, rows)]


def _tokens(found: Json) -> list[Table]:
    def both(row: Json, key: str) -> str:
        plain, ours = row["baseline"][key], row["ours"][key]
        return f"{plain:,} / {ours:,} ({ours / plain:.2f})"

    keys = ("sent", *KEPT)
    rows = [
        [str(row["refine_turns"]), str(row["reply_tokens"]), *(both(row, key) for key in keys)]
        for row in found["scripted"]
    ]
    columns = ("refine turns", "reply", "sent", *(f"not served: {told}" for told in KEPT.values()))
    return [Table("Prompt tokens: plain loop / Llamaberry (times)", columns, rows)]


def _local(found: Json) -> list[Table]:
    rows: list[list[str]] = []
    for row in found["local"]:
        plain, ours = row["baseline"], row["ours"]
        cells = [f"{plain[key]:,} / {ours[key]:,} ({ours[key] / plain[key]:.2f})" for key in ("sent", "uncached")]
        seconds = f"{plain['seconds']:.1f} / {ours['seconds']:.1f} ({ours['seconds'] / plain['seconds']:.2f})"
        rows.append([row["run"], str(row["refine_turns"]), *cells, f"{plain['output']} / {ours['output']}", seconds])
    columns = ("run", "refine turns", "prompt tokens sent", "not served from the cache", "output tokens", "seconds")
    return [Table("The local model's own counters: plain loop / Llamaberry (times)", columns, rows)]


def _start(found: Json) -> list[Table]:
    rows = [
        [name, _times(taken["s"]), _times(taken["ratio"])]
        for part in ("to_the_end", "to_the_first_token")
        for name, taken in found[part].items()
    ]
    title = "Start: to the end, and of the last two to the first token on the screen"
    return [Table(title, ("what", "s", "times"), rows)]


def _growth(found: Json) -> list[Table]:
    def row(told: Json) -> list[Any]:
        more = told["sqlite"]["wall_ms"]["median"] - told["none"]["wall_ms"]["median"]
        sizes = [f"{told[key]:,}" for key in ("reply_bytes", "checkpoints", "checkpoints_bytes", "writes_bytes")]
        return [str(told["turns"]), *sizes, f"{more:+.1f}", _times(told["sqlite"]["cpu_ratio"])]

    columns = ["turns", "bytes of replies", "checkpoints", "bytes of them", "bytes of pending writes"]
    columns += ["wall ms beyond no checkpointer", "CPU, times"]
    return [Table("Growth of a thread in SQLite", columns, [row(told) for told in found["rows"]])]
