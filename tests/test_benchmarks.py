"""The benchmarks run and write the files that docs/performance.md names; the figures are not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import answer

ROOT = Path(__file__).parents[1]


def test_a_benchmark_writes_its_figures_as_json_only(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "performance.md").read_bytes()
    arguments = ["--quick", "--only", "overhead", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Overhead at three turns" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["overhead.json"]
    assert (ROOT / "docs" / "performance.md").read_bytes() == page
    figures = json.loads((tmp_path / "overhead.json").read_text(encoding="utf-8"))
    assert figures["machine"].keys() >= {"date", "commit", "cpus", "load", "python", "system", "versions", "seconds"}
    assert figures["machine"]["command"] == f"python -m benchmarks {' '.join(arguments)}"
    assert figures["machine"]["versions"].keys() > {"groq", "langgraph", "langchain-groq"}
    for row in figures["by_turns"] + figures["by_setting"]:
        ours = row.keys() - {"turns", "stream", "latency_ms", "baseline"}
        assert ours in ({"ours"}, {"none", "memory", "sqlite"})
        for name in ours:
            assert row[name]["cpu_ms"]["median"] > 0
            assert row[name]["wall_ratio"].keys() == {"median", "low", "high"}
        assert row["baseline"]["cpu_ratio"]["median"] == 1


@pytest.mark.parametrize(("run", "calls"), [("baseline", 4), ("confirmed", 2), ("corrected", 3), ("no-program", 5)])
async def test_the_runs_of_the_answer_benchmark_are_real(run: str, calls: int, groq: object) -> None:
    count = await answer.count_tokens(run)
    assert count["calls"] == calls
    assert 0 < count["billed"] < count["sent"]
