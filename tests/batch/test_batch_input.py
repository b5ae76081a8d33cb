"""Files that hold no question, or that were written by another tool."""

from pathlib import Path

import pytest

from testing.command import llamaberry, usage_error
from testing.scripted_groq import ScriptedGroq

TEXT = '{"question": "6 x 7?", "answer": "42"}\n{"question": "é?", "answer": "é"}\n'


def write(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"not JSON\n", b'{"question": NaN}\n'])
def test_a_batch_without_a_question_is_a_mistake(groq: ScriptedGroq, tmp_path: Path, content: bytes) -> None:
    run = llamaberry("batch", write(tmp_path, content), str(tmp_path / "out.jsonl"))
    assert (run.returncode, groq.requests) == (2, [])
    assert "contains no question" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key in ("question", "id") for value in ("NaN", "Infinity", "-Infinity", "true", "[]")],
)
def test_a_value_that_is_no_text_is_not_asked(groq: ScriptedGroq, tmp_path: Path, key: str, value: str) -> None:
    line = f'{{"question": "Q", "{key}": {value}}}\n{{"question": "P"}}\n'
    run = llamaberry("batch", write(tmp_path, line.encode()), str(tmp_path / "out.jsonl"), "--turns", "1")
    assert (run.returncode, len(groq.requests)) == (3, 1)
    assert f"line 1: {key}: " in run.stderr


@pytest.mark.parametrize("command", ["batch", "eval"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_is_reported_once(groq: ScriptedGroq, tmp_path: Path, command: str, encoding: str) -> None:
    out = tmp_path / "out"
    options = [str(out)] if command == "batch" else ["--out", str(out), "--arms", "single"]
    error = usage_error(command, write(tmp_path, TEXT.encode(encoding)), *options)
    assert "UTF-16" in error
    assert "save it as UTF-8" in error
    assert (groq.requests, out.exists()) == ([], False)
