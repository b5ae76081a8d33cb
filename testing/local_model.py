"""A local model whose replies a test scripts: the real child process, with another llama.cpp in it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_llama")


class ScriptedLocal:
    """The scripted local model; see testing/fake_llama/xllamacpp.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def play(self, *replies: dict[str, Any]) -> None:
        """Set the replies, in order, and forget all requests."""
        for path in self.folder.glob("[0-9]*.json"):
            path.unlink()
        (self.folder / "script.json").write_text(json.dumps(replies))

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests, in order."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("[0-9]*.json"))]


def use_scripted_local(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedLocal:
    """Make "local" a scripted model, in this process and in those that it starts."""
    pytest.importorskip("langchain_openai")
    model = folder / "scripted.gguf"
    model.touch()
    monkeypatch.setenv("LLAMABERRY_LOCAL_GGUF", str(model))
    monkeypatch.setenv("PYTHONPATH", f"{FAKE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(FAKE)
    return ScriptedLocal(folder)
