"""The results as tables for the terminal and for docs/performance.md, with the goals."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from rich import box
from rich.table import Table as RichTable

from benchmarks import answer_report
from benchmarks.layers import LAYERS
from benchmarks.measure import ROOT, Json, Table
from benchmarks.overhead import SAVERS

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- written by python -m benchmarks -->\n", "<!-- end of the generated part -->\n"
CACHES = {
    "later_replies": "later run, replies kept",
    "later_prompts": "later run, prompts kept",
    "first_prompts": "first run, prompts kept",
}


def tables(results: Json, before: Json) -> list[Table]:
    """Return the tables of all available results; `before` holds earlier results to compare with."""
    builders: dict[str, Callable[[Json], list[Table]]] = {
        "answer": answer_report.answer,
        "answer-local": answer_report.local_answer,
        "overhead": lambda result: _overhead(result, before.get("overhead")),
        "layers": lambda result: _layers(result, before.get("layers")),
        "throughput": _throughput,
        "tokens": _tokens,
        "local": _local,
        "start": _start,
        "growth": _growth,
        "conversation": answer_report.conversation,
    }
    available = [table for name, build in builders.items() if name in results for table in build(results[name])]
    return [*available, Table("Goals", ("goal", "measured", "met"), goals(results))]


def as_rich(table: Table) -> RichTable:
    """Return a table for the terminal."""
    rich_table = RichTable(*table.columns, title=table.title, box=box.SIMPLE, title_justify="left")
    for row in table.rows:
        rich_table.add_row(*row)
    return rich_table


def write_page(results: Json, page_tables: Sequence[Table]) -> None:
    """Replace the tables in docs/performance.md."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    parts = [_conditions(results)]
    for title, columns, rows in page_tables:
        lines = [columns, ["---"] * len(columns), *rows]
        parts.append(f"### {title}\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n\n{END}{tail}", encoding="utf-8")


def _conditions(results: Json) -> str:
    lines = []
    for name, result in results.items():
        host = result["machine"]
        lines.append(f"- {name}: {host['date']}, {host['cpus']} CPUs, load {host['load']:g}, Python {host['python']}")
    packages = next(iter(results.values()))["machine"]["versions"].items()
    versions = ", ".join(f"{name} {number}" for name, number in packages)
    return "\n".join([*lines, "", f"With {versions}."])


def goals(results: Json) -> list[tuple[str, str, str]]:
    """Return each goal with an available result: the goal, the measured value, and whether it is met."""
    rows: list[tuple[str, str, str]] = []

    def add(goal: str, measured: float, limit: float, unit: str = "times") -> None:
        rows.append((goal, f"{measured:.2f} {unit}", "yes" if measured <= limit else "no"))

    if answer := results.get("answer"):
        for row in answer["times"]:
            if row["tokens_per_s"]:
                for name, how in (("confirmed", ""), ("parallel", ', verify="parallel"')):
                    wall = row[name]["wall_ratio"]["median"]
                    add(f"wall time of a confirmed answer at {row['latency_ms']} ms{how}: at most 0.4 times", wall, 0.4)
        billed = {
            name: count["billed"] / answer["tokens"]["baseline"]["billed"] for name, count in answer["tokens"].items()
        }
        add("billed prompt tokens of a confirmed answer: no more than the plain loop's", billed["confirmed"], 1)
    if overhead := results.get("overhead"):
        for setting in overhead["by_setting"]:
            if setting["latency_ms"] == 200:
                streamed = ", streamed" if setting["stream"] else ""
                wall = setting["none"]["wall_ratio"]["median"]
                add(f"wall time at 200 ms, one run at once{streamed}: at most 1.02 times the plain loop's", wall, 1.02)
        for stream in (False, True):
            worst = max(row["ours"]["cpu_ratio"]["median"] for row in overhead["by_turns"] if row["stream"] == stream)
            how = "streamed" if stream else "not streamed"
            add(f"CPU of a run, {how}, the worst of 1 to 10 turns: at most 2.5 times the plain loop's", worst, 2.5)
    for row in results.get("throughput", {}).get("rows", []):
        if row["at_once"] == 100:
            add("wall time at 200 ms, 100 runs at once: at most 1.1 times", row["p50_s_ratio"]["median"], 1.1)
    for row in results.get("tokens", {}).get("scripted", []):
        limit = {2: 0.7, 6: 0.6}.get(row["refine_turns"])
        if limit and row["reply_tokens"] == 400:
            for key, cache in CACHES.items():
                goal = f"uncached prompt tokens, {row['refine_turns']} refine turns, {cache}: at most {limit:g} times"
                add(goal, row["ours"][key] / row["baseline"][key], limit)
    for row in results.get("local", {}).get("local", []):
        if row["refine_turns"] == 2:
            goal = f"uncached prompt tokens, 2 refine turns, {row['run']} run, local model: at most 0.7 times"
            add(goal, row["ours"]["uncached"] / row["baseline"]["uncached"], 0.7)
    if start := results.get("start"):
        ends = start["to_the_end"]
        for name in ("import llamaberry", "from llamaberry import graph"):
            add(f"`{name}`: at most the time of langgraph and langchain_groq", ends[name]["ratio"]["median"], 1)
        add("`llamaberry --version`: under 0.3 s", ends["llamaberry --version"]["s"]["median"], 0.3, "s")
    if growth := results.get("growth"):
        size = {row["turns"]: row["checkpoints_bytes"] for row in growth["rows"]}
        if {5, 10} <= size.keys():
            add("checkpoint bytes, 10 turns against 5: at most 2 times (linear)", size[10] / size[5], 2)
    return rows


def _ms(cost: Json) -> str:
    return f"{cost['median']:.1f} ({cost['low']:.1f} to {cost['high']:.1f})"


def _times(cost: Json) -> str:
    return f"{cost['median']:.2f} ({cost['low']:.2f} to {cost['high']:.2f})"


def _overhead(result: Json, before: Json | None) -> list[Table]:
    old = {(row["turns"], row["stream"]): row["ours"] for row in (before or {"by_turns": []})["by_turns"]}
    by_turns = [
        [
            str(row["turns"]),
            "yes" if row["stream"] else "no",
            _ms(row["baseline"]["cpu_ms"]),
            _ms(row["ours"]["cpu_ms"]),
            _times(row["ours"]["cpu_ratio"]),
            *([_times(old[row["turns"], row["stream"]]["cpu_ratio"])] if before else []),
        ]
        for row in result["by_turns"]
    ]
    columns = ["turns", "streamed", "plain loop, CPU ms", "Llamaberry, CPU ms", "times"]
    columns += ["times, before"] if before else []
    by_setting = [
        [
            f"{row['latency_ms']} ms",
            "yes" if row["stream"] else "no",
            saver,
            _ms(row[saver]["cpu_ms"]),
            _times(row[saver]["cpu_ratio"]),
            f"{row[saver]['wall_ms']['median'] - row['baseline']['wall_ms']['median']:+.1f}",
            _times(row[saver]["wall_ratio"]),
        ]
        for row in result["by_setting"]
        for saver in SAVERS
    ]
    return [
        Table("Overhead by turns", columns, by_turns),
        Table(
            "Overhead at three turns",
            ("latency", "streamed", "checkpointer", "CPU ms", "times", "wall ms above the plain loop", "times"),
            by_setting,
        ),
    ]


def _layers(result: Json, before: Json | None) -> list[Table]:
    def cells(figures: Json) -> list[tuple[str, str]]:
        totals = [figures[name]["cpu_ms"]["median"] for name in LAYERS]
        ratios = [figures[name]["cpu_ratio"]["median"] for name in LAYERS]
        own = [total - below for total, below in zip(totals, [0, *totals[:-1]], strict=True)]
        return [
            (f"{total:.1f} ({times:.2f})", f"{share:.1f} ({share / totals[-1]:.0%})")
            for total, times, share in zip(totals, ratios, own, strict=True)
        ]

    columns = ["layer", "CPU ms up to this layer (times the plain loop)", "own (share of the run)"]
    columns += ["before", "own, before"] if before else []
    parts = [cells(figures) for figures in (result, before) if figures]
    rows = [[name, *chain.from_iterable(row)] for name, *row in zip(LAYERS.values(), *parts, strict=True)]
    return [Table("Where the CPU of a run goes", columns, rows)]


def _throughput(result: Json) -> list[Table]:
    rows = [
        [
            str(row["at_once"]),
            label,
            f"{row[name]['runs_per_s']['median']:.1f}",
            f"{row[name]['p50_s']['median']:.2f}",
            f"{row[name]['p99_s']['median']:.2f}",
            f"{row[name]['cpu_ms']['median']:.1f}",
            f"{row[name]['kib_per_run']['median']:.0f}",
            _times(row["p50_s_ratio"]) if name == "ours" else "",
        ]
        for row in result["rows"]
        for name, label in (("baseline", "plain loop"), ("ours", "Llamaberry"))
    ]
    columns = (
        "at once",
        "variant",
        "runs/s",
        "p50 s",
        "p99 s",
        "CPU ms per run",
        "KiB per concurrent run",
        "p50, times",
    )
    return [Table("Throughput", columns, rows)]


def _tokens(result: Json) -> list[Table]:
    def both(row: Json, key: str) -> str:
        plain, ours = row["baseline"][key], row["ours"][key]
        return f"{plain:,} / {ours:,} ({ours / plain:.2f})"

    keys = ("sent", *CACHES)
    rows = [
        [str(row["refine_turns"]), str(row["reply_tokens"]), *(both(row, key) for key in keys)]
        for row in result["scripted"]
    ]
    columns = ("refine turns", "reply", "sent", *(f"uncached: {cache}" for cache in CACHES.values()))
    return [Table("Prompt tokens: plain loop / Llamaberry (times)", columns, rows)]


def _local(result: Json) -> list[Table]:
    rows: list[list[str]] = []
    for row in result["local"]:
        plain, ours = row["baseline"], row["ours"]
        cells = [f"{plain[key]:,} / {ours[key]:,} ({ours[key] / plain[key]:.2f})" for key in ("sent", "uncached")]
        seconds = f"{plain['seconds']:.1f} / {ours['seconds']:.1f} ({ours['seconds'] / plain['seconds']:.2f})"
        rows.append([row["run"], str(row["refine_turns"]), *cells, f"{plain['output']} / {ours['output']}", seconds])
    columns = ("run", "refine turns", "prompt tokens sent", "uncached", "output tokens", "seconds")
    return [Table("Prompt tokens of the local model: plain loop / Llamaberry (times)", columns, rows)]


def _start(result: Json) -> list[Table]:
    rows = [
        [name, _times(figures["s"]), _times(figures["ratio"])]
        for part in ("to_the_end", "to_the_first_request")
        for name, figures in result[part].items()
    ]
    title = "Startup: to the end of the process; for the last two, to the first request"
    return [Table(title, ("what", "s", "times"), rows)]


def _growth(result: Json) -> list[Table]:
    def cells(row: Json) -> list[Any]:
        difference = row["sqlite"]["wall_ms"]["median"] - row["none"]["wall_ms"]["median"]
        sizes = [f"{row[key]:,}" for key in ("reply_bytes", "checkpoints", "checkpoints_bytes", "writes_bytes")]
        return [str(row["turns"]), *sizes, f"{difference:+.1f}", _times(row["sqlite"]["cpu_ratio"])]

    columns = ["turns", "reply bytes", "checkpoints", "checkpoint bytes", "pending write bytes"]
    columns += ["wall ms added by SQLite", "CPU, times"]
    return [Table("Growth of a thread in SQLite", columns, [cells(row) for row in result["rows"]])]
