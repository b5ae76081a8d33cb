"""`--schema FILE`: the answer as JSON, on the command line and in a batch."""

import json
import re
from pathlib import Path

import pytest

from testing.batch import run_batch, write_questions
from testing.command import assert_refused, llamaberry
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PARIS = '{"name": "Paris"}'
ASK = ("ask", "What is the capital of France?", "--turns", "1")


@pytest.fixture
def schema(tmp_path: Path) -> str:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA), "utf-8")
    return str(path)


def test_quiet_prints_only_the_json(scripted: Scripted, schema: str) -> None:
    scripted([first("Paris"), PARIS])
    run = llamaberry(*ASK, "--quiet", "--schema", schema)
    assert (run.returncode, run.stderr, json.loads(run.stdout)) == (0, "", {"name": "Paris"})


def test_the_json_stands_below_the_answer(scripted: Scripted, schema: str) -> None:
    """Once: the reply with it is not printed as a turn. `show` has its call."""
    scripted([first("Paris"), PARIS])
    run = llamaberry(*ASK, "--schema", schema)
    assert run.stdout.count('"name": "Paris"') == 1
    assert run.stdout.endswith('── answer ──\nParis\n── structured ──\n{\n  "name": "Paris"\n}\n')
    shown = llamaberry("show", "last").stdout
    assert re.search(r"structured answer · \d+\.\d s · ", shown)
    assert PARIS in shown
    assert " · 1 turn · " in shown


def test_a_missing_json_exits_with_3(scripted: Scripted, schema: str) -> None:
    scripted([first("Paris"), "Paris", "Paris"])
    run = llamaberry(*ASK, "--json", "--schema", schema)
    output = json.loads(run.stdout)
    assert (run.returncode, output["structured"], output["answer"]) == (3, None, "Paris")
    assert "no structured answer" in output["degraded"]


def test_a_resumed_run_keeps_the_schema(scripted: Scripted, schema: str) -> None:
    scripted([Reply(status=503, headers={"x-should-retry": "false"})] * 9)
    assert llamaberry(*ASK, "--schema", schema).returncode == 1
    scripted([first("Paris"), PARIS])
    run = llamaberry("resume", "--quiet")
    assert (run.stderr, json.loads(run.stdout)) == ("", {"name": "Paris"})


def test_a_batch_writes_the_json_into_each_line(scripted: Scripted, schema: str, tmp_path: Path) -> None:
    scripted([first("Paris"), PARIS])
    (line,) = run_batch(write_questions(tmp_path, "Q"), tmp_path / "out.jsonl", "--turns", "1", "--schema", schema)
    assert (line["answer"], line["structured"]) == ("Paris", {"name": "Paris"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "EOF while parsing"),
        ("[]", "it should be a JSON object"),
        ('{"type": "objekt"}', "it is no valid JSON schema: type: "),
    ],
)
def test_a_file_without_a_schema_is_refused(groq: ScriptedGroq, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "schema.json"
    path.write_text(content, "utf-8")
    run = llamaberry(*ASK, "--schema", str(path))
    assert_refused(run, f"--schema {path}: ", message, "write a JSON schema into it")
    assert groq.requests == []


def test_a_missing_file_is_refused(groq: ScriptedGroq) -> None:
    assert_refused(llamaberry(*ASK, "--schema", "/none.json"), "--schema /none.json: it cannot be read (No such file")
