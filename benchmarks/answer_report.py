"""The tables of the time to the answer, and of a thread of many questions."""

import statistics

from benchmarks.measure import Json, Table


def answer(result: Json) -> list[Table]:
    """Return the tables of the scripted model: times, and tokens."""
    names = ("confirmed", "parallel", "corrected", "no-program")
    times = [
        [
            f"{row['latency_ms']} ms",
            str(row["tokens_per_s"] or "-"),
            f"{row['baseline']['wall_ms']['median'] / 1000:.2f}",
            *(
                f"{row[name]['wall_ms']['median'] / 1000:.2f} ({row[name]['wall_ratio']['median']:.2f})"
                for name in names
            ),
        ]
        for row in result["times"]
    ]
    tokens = [[name, *(f"{count:,}" for count in counts.values())] for name, counts in result["tokens"].items()]
    columns = ("delay", "tokens/s", "plain loop, s", *(f"{name.replace('-', ' ')}, s (times)" for name in names))
    return [
        Table("Time to the answer", columns, times),
        Table("Tokens to the answer", ("run", "calls", "prompt tokens sent", "billed", "output tokens"), tokens),
    ]


def local_answer(result: Json) -> list[Table]:
    """Return the table of the local model."""
    names = ("baseline", "ours", "parallel")
    rows = [
        [
            row["task"],
            *(
                f"{run['seconds']:.0f} s, {run['calls']} calls, {'right' if run['right'] else 'wrong'}"
                for run in (row[name] for name in names)
            ),
            *(f"{row[name]['seconds'] / row['baseline']['seconds']:.2f}" for name in names[1:]),
        ]
        for row in result["local"]
    ]
    medians = (statistics.median(float(row[column]) for row in rows) for column in (4, 5))
    rows.append(["median", "", "", "", *(f"{median:.2f}" for median in medians)])
    columns = ("question", "plain loop", "Llamaberry", 'verify="parallel"', "times", "times, parallel")
    return [Table("Time to the answer with the local model, one question of each task", columns, rows)]


def conversation(result: Json) -> list[Table]:
    """Return the table of the long thread."""
    columns = ("questions", "MB", "the last question, s", "`history`, CPU s", "`show`, CPU s")
    rows = [
        [
            str(row["questions"]),
            f"{row['bytes'] / 1e6:.1f}",
            *(f"{row[name]:.2f}" for name in ("last_question_s", "history_s", "show_s")),
        ]
        for row in result["rows"]
    ]
    return [Table("A thread of many questions in SQLite", columns, rows)]
