"""What type checkers say about a user's program."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "llamaberry" / "graph").exists(), reason="run `python scripts/link.py` first")
def test_a_users_program_passes_mypy_in_strict_mode() -> None:
    for package in ("mypy", "langchain_openai"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "mypy", "--strict", "tests/typed_program.py"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert ran.returncode == 0, ran.stdout
