"""The benchmarks run, and write what docs/performance.md says they do; what they measure is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_one_command_measures_beside_the_plain_loop_and_writes_json(tmp_path: Path) -> None:
    """With the machine, the versions and the command, and a ratio for each variant; and the page is left alone."""
    page = (ROOT / "docs" / "performance.md").read_bytes()
    arguments = ["--quick", "--only", "overhead", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Overhead at three turns" in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["overhead.json"]
    assert (ROOT / "docs" / "performance.md").read_bytes() == page
    found = json.loads((tmp_path / "overhead.json").read_text(encoding="utf-8"))
    assert found["machine"].keys() >= {"date", "commit", "cpus", "load", "python", "system", "versions", "seconds"}
    assert found["machine"]["command"] == f"python -m benchmarks {' '.join(arguments)}"
    assert found["machine"]["versions"].keys() > {"groq", "langgraph", "langchain-groq"}
    for row in found["by_turns"] + found["by_setting"]:
        ours = row.keys() - {"turns", "stream", "latency_ms", "baseline"}
        assert ours in ({"ours"}, {"none", "memory", "sqlite"})
        for name in ours:
            assert row[name]["cpu_ms"]["median"] > 0
            assert row[name]["wall_ratio"].keys() == {"median", "low", "high"}
        assert row["baseline"]["cpu_ratio"]["median"] == 1
