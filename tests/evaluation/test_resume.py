"""`llamaberry eval`, killed at any moment, resumes with the same command and repeats no finished call."""

import json
import random
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from llamaberry.evaluation.folder import Folder
from testing.command import (
    LIMIT_S,
    assert_refused,
    kill_when,
    llamaberry,
    run_concurrently,
    running_command,
    usage_error,
    wait_until,
)
from testing.evaluation import id_arm_pairs, needs_suite, read_results, run_eval, write_questions
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, good_model
from testing.scripts import CallCounts, count_calls, failing_calls, hanging_once

WORDS = ("--arms", "single,turns:3+noverify")
STEPS = ("turn 1", "turn 2", "turn 3", "synthesis")


CUTS = {
    "a first turn": [("P", "turn 1")],
    "a refine turn": [("Q", "turn 2")],
    "a synthesis": [("P", "synthesis")],
    "several at once": [("P", "turn 1"), ("Q", "turn 3"), ("R", "synthesis")],
}


@pytest.mark.parametrize("cuts", CUTS.values(), ids=list(CUTS))
def test_after_a_kill_only_the_calls_in_flight_are_repeated(
    scripted: Scripted, tmp_path: Path, cuts: list[tuple[str, str]]
) -> None:
    groq, data, out = scripted(hanging_once(*cuts)), write_questions(tmp_path, *"PQR"), tmp_path / "out"
    # The arms of a case run one after another: a hanging first turn leaves both without a line.
    before = 6 - sum(2 if step == "turn 1" else 1 for _, step in cuts)
    words = ["eval", data, "--out", str(out), *WORDS]
    kill_when(groq, words, lambda: len(read_results(out)) == before and set(cuts) <= count_calls(groq).keys())
    first_bytes = (out / "results.jsonl").read_bytes()
    results = run_eval(data, out, *WORDS)
    assert (out / "results.jsonl").read_bytes().startswith(first_bytes)
    assert id_arm_pairs(results) == [(name, arm) for name in "PQR" for arm in ("single", "turns:3+noverify")]
    assert all(line["right"] and not line["error"] for line in results)
    assert [len(line["replies"]) for line in results if line["arm"] == "turns:3+noverify"] == [4, 4, 4]
    expected: CallCounts = Counter({(name, step): 1 + (step == "turn 1") for name in "PQR" for step in STEPS})
    assert count_calls(groq) == expected + Counter(cuts)


@pytest.mark.parametrize("shared", [[], ["--shared-turns"]])
@pytest.mark.parametrize("requests", [3, 14, 25])
def test_a_kill_at_any_moment_repeats_at_most_calls_in_flight(
    scripted: Scripted, tmp_path: Path, requests: int, shared: list[str]
) -> None:
    dice = random.Random(requests)
    groq = scripted(lambda request: Reply(good_model(request), delay=dice.uniform(0, 0.1)))
    data, out = write_questions(tmp_path, *"PQRST"), tmp_path / "out"
    words = (
        "--arms",
        "single,turns:3+noverify,turns:3+noverify+early,self-consistency:3",
        "--concurrency",
        "4",
        *shared,
    )
    kill_when(groq, ["eval", data, "--out", str(out), *words], lambda: len(groq.requests) >= requests)
    results = run_eval(data, out, *words)
    assert id_arm_pairs(results) == [(name, arm) for name in "PQRST" for arm in sorted(words[1].split(","))]
    assert [line for line in results if line["error"] or not line["right"]] == []
    early = 0 if shared else 1
    counts = {"turn 1": 3 if shared else 6, "turn 2": 1 + early, "turn 3": 1, "synthesis": 2}
    expected: CallCounts = Counter({(name, step): n for name in "PQRST" for step, n in counts.items()})
    assert expected <= count_calls(groq)
    assert (count_calls(groq) - expected).total() <= 4


def test_an_unwritten_result_is_restored_without_a_call(scripted: Scripted, tmp_path: Path) -> None:
    """The incomplete line of a killed process or a full disk is truncated."""
    results = tmp_path / "out" / "results.jsonl"

    def script(request: Request) -> str:
        results.mkdir(exist_ok=True)  # so that writing fails
        return good_model(request)

    groq, data = scripted(script), write_questions(tmp_path, "Q")
    error = usage_error("eval", data, "--out", str(tmp_path / "out"), "--arms", "turns:3+noverify")
    assert "the same command" in error
    assert len(groq.requests) == 4
    results.rmdir()
    results.write_bytes(b'{"id": "Q", "ta')
    (line,) = run_eval(data, tmp_path / "out", "--arms", "turns:3+noverify")
    assert (line["right"], [reply["step"] for reply in line["replies"]]) == (True, [*STEPS])
    assert len(groq.requests) == 4


def test_ctrl_c_exits_with_130_and_says_how_to_resume(scripted: Scripted, tmp_path: Path) -> None:
    groq, data, out = (
        scripted(hanging_once(("P", "turn 2"), ("Q", "turn 1"))),
        write_questions(tmp_path, *"PQ"),
        tmp_path / "out",
    )
    with running_command("eval", data, "--out", str(out), "--arms", "turns:3+noverify") as run:
        wait_until(lambda: groq.open_requests == 2 and len(groq.requests) == 3)
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=LIMIT_S)
    assert (run.returncode, stdout) == (130, "")
    assert re.fullmatch(r"llamaberry: .* to resume\n", stderr)
    assert id_arm_pairs(run_eval(data, out, "--arms", "turns:3+noverify")) == [
        ("P", "turns:3+noverify"),
        ("Q", "turns:3+noverify"),
    ]
    assert count_calls(groq) == {(name, step): 1 for name in "PQ" for step in STEPS} | {
        ("P", "turn 2"): 2,
        ("Q", "turn 1"): 2,
    }


def test_a_killed_retry_resumes_and_other_arms_keep_errors(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted(failing_calls(*((name, "turn 1") for name in "PQ")))
    data, out = write_questions(tmp_path, *"PQR"), tmp_path / "out"
    run_eval(data, out, "--arms", "single,self-consistency:2", failed="4 of 6")
    groq.play(hanging_once(("Q", "turn 1")))
    kill_when(
        groq,
        ["eval", data, "--out", str(out), "--arms", "single", "--retry-errors"],
        lambda: len(read_results(out)) == 5 and count_calls(groq)["Q", "turn 1"] == 1,
    )
    results = run_eval(data, out, "--arms", "single")
    assert id_arm_pairs(results) == [(name, arm) for name in "PQR" for arm in ("self-consistency:2", "single")]
    assert {(line["id"], line["arm"]) for line in results if line["error"]} == {
        (name, "self-consistency:2") for name in "PQ"
    }
    assert count_calls(groq)["P", "turn 1"] == 1
    assert count_calls(groq)["R", "turn 1"] == 0


def test_a_folder_is_locked_for_other_processes(scripted: Scripted, tmp_path: Path) -> None:
    groq, data, out = scripted(hanging_once(("Q", "turn 1"))), write_questions(tmp_path, "Q"), tmp_path / "out"
    command = ("eval", data, "--out", str(out), "--arms", "single")
    with running_command(*command):
        wait_until(lambda: groq.open_requests == 1)
        assert "in use" in usage_error(*command)
        (link := tmp_path / "link").symlink_to(out)
        assert "in use" in usage_error(*command[:3], str(link), *command[4:])
    assert len(groq.requests) == 1
    assert len(run_eval(data, out, "--arms", "single")) == 1


@needs_suite
def test_other_settings_are_refused_with_their_names(scripted: Scripted, tmp_path: Path) -> None:
    """Only settings that make results incomparable; a timeout or the concurrency may change."""
    groq, data, out = scripted(), write_questions(tmp_path, "Q"), tmp_path / "out"
    command = ("eval", data, "--out", str(out), "--arms", "single")
    before = run_eval(data, out, "--arms", "single")
    errors = {
        ("--model", "groq:other"): "model 'groq:openai/gpt-oss-120b', not 'groq:other'",
        ("--temperature", "0"): "temperature 0.7, not 0.0",
        ("--max-tokens", "99"): "max_tokens 2048, not 99",
        ("--shared-turns",): "shared_turns",
        ("--judge", "groq:judge"): "judge",
    }
    for run, error in zip(run_concurrently(*((*command, *more) for more in errors)), errors.values(), strict=True):
        assert_refused(run, error, "--out")
    assert run_eval(data, out, "--arms", "single", "--turn-timeout", "9", "--concurrency", "3") == before
    write_questions(tmp_path, "Another")
    assert "another evaluation" in usage_error(*command)
    suite = ("eval", "--suite", "leg_counting", "--size", "1", "--arms", "single", "--out", str(tmp_path / "suite"))
    llamaberry(*suite)
    assert "seed 0, not 1" in usage_error(*suite, "--seed", "1")
    assert (len(groq.requests), read_results(out)) == (2, before)


def test_a_folder_with_other_content_is_refused_and_unchanged(groq: ScriptedGroq, tmp_path: Path) -> None:
    data = write_questions(tmp_path, "Q")
    foreign, no_json, no_settings, file = (tmp_path / name for name in ("foreign", "no_json", "no_settings", "file"))
    foreign.mkdir()
    (foreign / "letter.txt").write_text("Dear Sir")
    for folder, text in ((no_json, "{"), (no_settings, "[]")):
        folder.mkdir()
        (folder / "settings.json").write_text(text)
    file.touch()
    for folder, error in (
        (foreign, "neither empty nor"),
        (no_json, "not from `llamaberry eval`"),
        (no_settings, "not from `llamaberry eval`"),
        (file, "cannot be used"),
    ):
        assert error in usage_error("eval", data, "--out", str(folder))
    assert "cannot be used" in usage_error("eval", data, "--out", str(file / "below"))
    assert [path.name for path in foreign.iterdir()] == ["letter.txt"]
    assert groq.requests == []


def test_results_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    folder = shutil.copytree(Path(__file__).parents[2] / "evals" / "results" / "local-seed-3", tmp_path / "results")
    settings = json.loads((folder / "settings.json").read_text())
    started_at = settings.pop("begun")
    opened = Folder(folder, settings, {})
    assert (len(opened.results), opened.settings["started_at"]) == (480, started_at)


def test_an_invalid_result_is_refused_with_its_line_number(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = write_questions(tmp_path, "P", "Q"), tmp_path / "out"
    run_eval(data, out, "--arms", "single")
    path = out / "results.jsonl"
    path.write_text(path.read_text() + json.dumps({"id": "P"}) + "\n")
    assert "line 3" in usage_error("eval", data, "--out", str(out), "--arms", "single")
    assert len(groq.requests) == 2


def test_damaged_checkpoints_are_refused_with_the_remedy(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = write_questions(tmp_path, "P", "Q"), tmp_path / "out"
    before = run_eval(data, out, "--arms", "single", "--limit", "1")
    (out / "checkpoints.sqlite").write_bytes(b"not a database" * 500)
    error = usage_error("eval", data, "--out", str(out), "--arms", "single")
    assert "checkpoints.sqlite" in error
    assert "delete it" in error
    (out / "checkpoints.sqlite").unlink()
    assert run_eval(data, out, "--arms", "single")[:1] == before
