"""The report of `llamaberry eval`: as a table, as JSON and as a page."""

import json
from pathlib import Path

import pytest

from testing.command import llamaberry, refused
from testing.evaluation import questions
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first

# Six questions in one turn each: four right, one wrong, one whose call fails for good.
SCRIPT = [first("42"), first("42"), first("41"), first("42"), Reply(status=400, error="Out of luck"), first("42")]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_report_is_printed_and_stored(scripted: Scripted, tmp_path: Path, as_json: bool) -> None:
    """A failed question counts. 1,000 and 100 tokens a question, $1 and $2 a million: $0.0012; 4 of 6 are right."""
    scripted([Reply(reply, usage=USAGE) if isinstance(reply, str) else reply for reply in SCRIPT])
    data, out = questions(tmp_path, *"ABCDEF"), tmp_path / "out"
    words = ["--arms", "single", "--concurrency", "1", "--price", "1/2", *(["--json"] if as_json else [])]
    run = llamaberry("eval", data, "--out", str(out), *words)
    assert run.returncode == 0
    assert run.stderr.startswith("llamaberry: 1 of 6 runs failed, and count by what they answered; --retry-errors asks")
    assert "Out of luck" in run.stderr
    report = json.loads((out / "report.json").read_text())
    (arm,) = report["arms"]
    assert (arm["accuracy"]["right"], arm["accuracy"]["n"], arm["errors"]) == (4, 6, 1)
    assert arm["spent"]["usd"] == pytest.approx(0.0012)
    assert arm["spent"]["usd_per_right"] == pytest.approx(5 * 0.0012 / 4)
    assert report["settings"]["arms"] == ["single"]
    if as_json:
        assert json.loads(run.stdout) == report
    else:
        assert "66.7%" in run.stdout
        assert report["meaning"] in " ".join(run.stdout.split())
        assert str(out / "report.html") in "".join(run.stdout.split("\n"))
    page = (out / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert report["meaning"] in page


def test_another_price_needs_no_call(groq: ScriptedGroq, tmp_path: Path) -> None:
    command = ["eval", questions(tmp_path, "A"), "--out", str(tmp_path / "out"), "--arms", "single", "--json"]
    assert json.loads(llamaberry(*command).stdout)["arms"][0]["spent"]["usd"] is None
    groq.requests.clear()
    assert json.loads(llamaberry(*command, "--price", "1/2/0.5").stdout)["arms"][0]["spent"]["usd"] > 0
    assert groq.requests == []


def test_an_evaluation_fails_if_every_run_fails(scripted: Scripted, tmp_path: Path) -> None:
    scripted([Reply(status=401, error="Invalid API Key")] * 2)
    run = llamaberry("eval", questions(tmp_path, *"AB"), "--out", str(tmp_path / "out"), "--arms", "single")
    assert run.returncode == 1
    assert "2 of 2 runs failed" in run.stderr
    assert "GROQ_API_KEY" in run.stderr


@pytest.mark.parametrize("price", ["", "1", "a/b", "1/-2", "1/2/3/4", "nan/1"])
def test_an_invalid_price_is_refused_before_any_call(groq: ScriptedGroq, tmp_path: Path, price: str) -> None:
    run = llamaberry("eval", questions(tmp_path, "A"), "--out", str(tmp_path / "out"), "--price", price)
    refused(run, "--price")
    assert groq.requests == []
    assert not (tmp_path / "out").exists()
