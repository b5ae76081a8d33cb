"""`llamaberry eval` cut at any moment goes on with the same command: each result once, and no finished call again."""

import json
import random
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from testing.command import at_once, begun, cut_at, llamaberry, mistake, refused, until
from testing.evaluation import evaluate, lines, needs_suite, pairs, questions
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, good_model
from testing.scripts import Calls, called, failing, hanging

WORDS = ("--arms", "single,turns:3")
STEPS = ("turn 1", "turn 2", "turn 3", "synthesis")


CUTS = {
    "a first turn": [("P", "turn 1")],
    "a refine turn": [("Q", "turn 2")],
    "a synthesis": [("P", "synthesis")],
    "several at once": [("P", "turn 1"), ("Q", "turn 3"), ("R", "synthesis")],
}


@pytest.mark.parametrize("cuts", CUTS.values(), ids=list(CUTS))
def test_killed_in_any_call_it_goes_on_with_that_call(
    scripted: Scripted, tmp_path: Path, cuts: list[tuple[str, str]]
) -> None:
    groq, data, out = scripted(hanging(*cuts)), questions(tmp_path, *"PQR"), tmp_path / "out"
    # A case is seen through arm by arm: one that hangs in its first turn has no line yet.
    before = 6 - sum(2 if step == "turn 1" else 1 for _, step in cuts)
    words = ["eval", data, "--out", str(out), *WORDS]
    cut_at(groq, words, lambda: len(lines(out)) == before and set(cuts) <= called(groq).keys())
    there = (out / "results.jsonl").read_bytes()
    kept = evaluate(data, out, *WORDS)
    assert (out / "results.jsonl").read_bytes().startswith(there)
    assert pairs(kept) == [(name, arm) for name in "PQR" for arm in ("single", "turns:3")]
    assert all(line["right"] and not line["error"] for line in kept)
    assert [len(line["replies"]) for line in kept if line["arm"] == "turns:3"] == [4, 4, 4]
    needed: Calls = Counter({(name, step): 1 + (step == "turn 1") for name in "PQR" for step in STEPS})
    assert called(groq) == needed + Counter(cuts)


@pytest.mark.parametrize("shared", [[], ["--shared-turns"]])
@pytest.mark.parametrize("requests", [3, 14, 25])
def test_killed_at_any_moment_at_most_what_was_in_flight_is_asked_again(
    scripted: Scripted, tmp_path: Path, requests: int, shared: list[str]
) -> None:
    dice = random.Random(requests)
    groq = scripted(lambda request: Reply(good_model(request), delay=dice.uniform(0, 0.1)))
    data, out = questions(tmp_path, *"PQRST"), tmp_path / "out"
    words = ("--arms", "single,turns:3,turns:3+early,self-consistency:3", "--concurrency", "4", *shared)
    cut_at(groq, ["eval", data, "--out", str(out), *words], lambda: len(groq.requests) >= requests)
    kept = evaluate(data, out, *words)
    assert pairs(kept) == [(name, arm) for name in "PQRST" for arm in sorted(words[1].split(","))]
    assert [line for line in kept if line["error"] or not line["right"]] == []
    early = 0 if shared else 1
    counts = {"turn 1": 3 if shared else 6, "turn 2": 1 + early, "turn 3": 1, "synthesis": 2}
    needed: Calls = Counter({(name, step): n for name in "PQRST" for step, n in counts.items()})
    assert needed <= called(groq)
    assert (called(groq) - needed).total() <= 4


def test_a_result_that_could_not_be_written_is_made_again_without_a_call(scripted: Scripted, tmp_path: Path) -> None:
    """And half a line, as a killed process or a full disk leaves it, is cut off."""
    results = tmp_path / "out" / "results.jsonl"

    def script(request: Request) -> str:
        results.mkdir(exist_ok=True)  # nothing can be written there
        return good_model(request)

    groq, data = scripted(script), questions(tmp_path, "Q")
    told = mistake("eval", data, "--out", str(tmp_path / "out"), "--arms", "turns:3")
    assert "run the same command again" in told
    assert len(groq.requests) == 4
    results.rmdir()
    results.write_bytes(b'{"id": "Q", "ta')
    (line,) = evaluate(data, tmp_path / "out", "--arms", "turns:3")
    assert (line["right"], [reply["step"] for reply in line["replies"]]) == (True, [*STEPS])
    assert len(groq.requests) == 4


def test_ctrl_c_ends_it_with_130_and_a_line_that_says_how_to_go_on(scripted: Scripted, tmp_path: Path) -> None:
    groq, data, out = scripted(hanging(("P", "turn 2"), ("Q", "turn 1"))), questions(tmp_path, *"PQ"), tmp_path / "out"
    with begun("eval", data, "--out", str(out), "--arms", "turns:3") as run:
        until(lambda: groq.open_requests == 2 and len(groq.requests) == 3)
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=20)
    assert (run.returncode, stdout) == (130, "")
    assert re.fullmatch(r"llamaberry: .*goes on.*\n", stderr)
    assert pairs(evaluate(data, out, "--arms", "turns:3")) == [("P", "turns:3"), ("Q", "turns:3")]
    assert called(groq) == {(name, step): 1 for name in "PQ" for step in STEPS} | {
        ("P", "turn 2"): 2,
        ("Q", "turn 1"): 2,
    }


def test_a_retry_that_is_killed_goes_on_and_an_arm_that_is_not_named_keeps_its_errors(
    scripted: Scripted, tmp_path: Path
) -> None:
    groq, data, out = (
        scripted(failing(*((name, "turn 1") for name in "PQ"))),
        questions(tmp_path, *"PQR"),
        tmp_path / "out",
    )
    evaluate(data, out, "--arms", "single,self-consistency:2", failed="4 of 6")
    groq.play(hanging(("Q", "turn 1")))
    cut_at(
        groq,
        ["eval", data, "--out", str(out), "--arms", "single", "--retry-errors"],
        lambda: len(lines(out)) == 5 and called(groq)["Q", "turn 1"] == 1,
    )
    kept = evaluate(data, out, "--arms", "single")
    assert pairs(kept) == [(name, arm) for name in "PQR" for arm in ("self-consistency:2", "single")]
    assert {(line["id"], line["arm"]) for line in kept if line["error"]} == {
        (name, "self-consistency:2") for name in "PQ"
    }
    assert called(groq)["P", "turn 1"] == 1
    assert called(groq)["R", "turn 1"] == 0


def test_two_processes_never_work_in_one_folder(scripted: Scripted, tmp_path: Path) -> None:
    groq, data, out = scripted(hanging(("Q", "turn 1"))), questions(tmp_path, "Q"), tmp_path / "out"
    command = ("eval", data, "--out", str(out), "--arms", "single")
    with begun(*command):
        until(lambda: groq.open_requests == 1)
        assert "in use" in mistake(*command)
    assert len(groq.requests) == 1
    assert len(evaluate(data, out, "--arms", "single")) == 1


@needs_suite
def test_other_settings_are_refused_and_named(scripted: Scripted, tmp_path: Path) -> None:
    """What would not compare; how much is asked, of whom at once, and how patiently, is free."""
    groq, data, out = scripted(), questions(tmp_path, "Q"), tmp_path / "out"
    command = ("eval", data, "--out", str(out), "--arms", "single")
    before = evaluate(data, out, "--arms", "single")
    words = {
        ("--model", "groq:other"): "model 'groq:openai/gpt-oss-120b', not 'groq:other'",
        ("--temperature", "0"): "temperature 0.7, not 0.0",
        ("--max-tokens", "99"): "max_tokens 2048, not 99",
        ("--shared-turns",): "shared_turns",
        ("--judge", "groq:judge"): "judge",
    }
    for run, told in zip(at_once(*((*command, *more) for more in words)), words.values(), strict=True):
        refused(run, told, "--out")
    assert evaluate(data, out, "--arms", "single", "--turn-timeout", "9", "--concurrency", "3") == before
    questions(tmp_path, "Another")
    assert "another evaluation" in mistake(*command)
    suite = ("eval", "--suite", "leg_counting", "--size", "1", "--arms", "single", "--out", str(tmp_path / "suite"))
    llamaberry(*suite)
    assert "seed 0, not 1" in mistake(*suite, "--seed", "1")
    assert (len(groq.requests), lines(out)) == (2, before)


def test_a_folder_that_is_none_of_ours_is_left_alone(groq: ScriptedGroq, tmp_path: Path) -> None:
    data = questions(tmp_path, "Q")
    foreign, spoiled, named, file = (tmp_path / name for name in ("foreign", "spoiled", "named", "file"))
    foreign.mkdir()
    (foreign / "letter.txt").write_text("Dear Sir")
    for folder, text in ((spoiled, "{"), (named, "[]")):
        folder.mkdir()
        (folder / "settings.json").write_text(text)
    file.touch()
    for folder, told in (
        (foreign, "not empty"),
        (spoiled, "no evaluation's"),
        (named, "no evaluation's"),
        (file, "cannot be used"),
    ):
        assert told in mistake("eval", data, "--out", str(folder))
    assert "cannot be used" in mistake("eval", data, "--out", str(file / "below"))
    assert [path.name for path in foreign.iterdir()] == ["letter.txt"]
    assert groq.requests == []


def test_a_line_that_is_no_result_is_told_with_its_number(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = questions(tmp_path, "P", "Q"), tmp_path / "out"
    evaluate(data, out, "--arms", "single")
    path = out / "results.jsonl"
    path.write_text(path.read_text() + json.dumps({"id": "P"}) + "\n")
    assert "line 3" in mistake("eval", data, "--out", str(out), "--arms", "single")
    assert len(groq.requests) == 2


def test_damaged_checkpoints_are_told_with_what_to_do(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = questions(tmp_path, "P", "Q"), tmp_path / "out"
    before = evaluate(data, out, "--arms", "single", "--limit", "1")
    (out / "checkpoints.sqlite").write_bytes(b"no database" * 500)
    assert "checkpoints.sqlite" in (told := mistake("eval", data, "--out", str(out), "--arms", "single"))
    assert "delete it" in told
    (out / "checkpoints.sqlite").unlink()
    assert evaluate(data, out, "--arms", "single")[:1] == before
