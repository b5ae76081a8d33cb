"""The report of `llamaberry eval`: printed as tables or JSON, and written as JSON and as a page."""

import json
from pathlib import Path

import pytest

from testing.command import assert_refused, llamaberry
from testing.evaluation import write_questions
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first

# Six questions in one turn each: four right, one wrong, one failed call.
SCRIPT = [first("42"), first("42"), first("41"), first("42"), Reply(status=400, error="Out of luck"), first("42")]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_report_is_printed_and_written(scripted: Scripted, tmp_path: Path, as_json: bool) -> None:
    """1,000 input and 100 output tokens per question, at $1 and $2 per million, are $0.0012; 4 of 6 are right."""
    scripted([Reply(reply, usage=USAGE) if isinstance(reply, str) else reply for reply in SCRIPT])
    data, out = write_questions(tmp_path, *"ABCDEF"), tmp_path / "out"
    words = ["--arms", "single", "--concurrency", "1", "--price", "1/2", *(["--json"] if as_json else [])]
    run = llamaberry("eval", data, "--out", str(out), *words)
    assert run.returncode == 0
    assert run.stderr.startswith("llamaberry: 1 of 6 runs failed; --retry-errors retries them. First error: ")
    assert "Out of luck" in run.stderr
    report = json.loads((out / "report.json").read_text())
    (arm,) = report["arms"]
    assert (arm["accuracy"]["right"], arm["accuracy"]["n"], arm["errors"]) == (4, 6, 1)
    assert arm["cost"]["usd"] == pytest.approx(0.0012)
    assert arm["cost"]["usd_per_right"] == pytest.approx(5 * 0.0012 / 4)
    assert report["settings"]["arms"] == ["single"]
    if as_json:
        assert json.loads(run.stdout) == report
    else:
        assert "66.7%" in run.stdout
        assert report["recommendation"] in " ".join(run.stdout.split())
        assert str(out / "report.html") in "".join(run.stdout.split("\n"))
    page = (out / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert report["recommendation"] in page


def test_another_price_needs_no_call(groq: ScriptedGroq, tmp_path: Path) -> None:
    command = ["eval", write_questions(tmp_path, "A"), "--out", str(tmp_path / "out"), "--arms", "single", "--json"]
    assert json.loads(llamaberry(*command).stdout)["arms"][0]["cost"]["usd"] > 0  # at the list price
    groq.requests.clear()
    assert json.loads(llamaberry(*command, "--price", "1/2/0.5").stdout)["arms"][0]["cost"]["usd"] > 0
    assert groq.requests == []


def test_the_exit_code_is_1_if_every_run_failed(scripted: Scripted, tmp_path: Path) -> None:
    scripted([Reply(status=401, error="Invalid API Key")] * 2)
    run = llamaberry("eval", write_questions(tmp_path, *"AB"), "--out", str(tmp_path / "out"), "--arms", "single")
    assert run.returncode == 1
    assert "2 of 2 runs failed" in run.stderr
    assert "GROQ_API_KEY" in run.stderr


@pytest.mark.parametrize("price", ["", "1", "a/b", "1/-2", "1/2/3/4", "nan/1", "inf/1"])
def test_an_invalid_price_is_refused_before_any_call(groq: ScriptedGroq, tmp_path: Path, price: str) -> None:
    run = llamaberry("eval", write_questions(tmp_path, "A"), "--out", str(tmp_path / "out"), "--price", price)
    assert_refused(run, "--price")
    assert groq.requests == []
    assert not (tmp_path / "out").exists()
