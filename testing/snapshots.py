"""Comparison of texts with the files in tests/snapshots."""

import os
from pathlib import Path

SNAPSHOTS = Path(__file__).parents[1] / "tests" / "snapshots"


def check_snapshot(name: str, text: str) -> None:
    """Compare a text with its snapshot; with UPDATE_SNAPSHOTS set, write the snapshot first."""
    path = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{name} differs: UPDATE_SNAPSHOTS=1 writes it"
