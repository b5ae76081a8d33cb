"""`llamaberry eval` in LangSmith: the real client in its own process, against a collector on loopback."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from testing.collector import Collector, metadata, serve_collector
from testing.command import LIMIT_S, llamaberry, running_command, wait_until
from testing.environment import trace_to
from testing.scripted_groq import Reply, Request, Scripted, first, good_model, refine, synthesis
from testing.traces import COLLECTOR_FAULTS, expected_tree

QUESTIONS = {"a": "Fixed?", "b": "Broken?", "c": "Right?"}
ARMS = ("--arms", "single,turns:2")


def mixed_model(request: Request) -> str:
    """Answer "Fixed?" wrong in the first turn only, "Broken?" right in the first turn only, "Right?" always right."""
    messages = json.dumps(request.messages)
    fixed = "Broken?" not in messages
    if "Right?" in messages:
        return good_model(request)
    if "Verdict" in request.messages[-1]["content"]:
        return refine("42" if fixed else "41", "revise")
    if "Concise Answer" in request.messages[-1]["content"]:
        return synthesis("So it is.", "42" if fixed else "41")
    return first("41" if fixed else "42")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Write the questions; return the arguments of the command."""
    data = tmp_path / "quiz.jsonl"
    data.write_text("".join(json.dumps({"id": k, "question": v, "answer": "42"}) + "\n" for k, v in QUESTIONS.items()))
    return ["eval", str(data), "--out", str(tmp_path / "out"), *ARMS]


def results(words: list[str]) -> list[dict[str, Any]]:
    """Return the lines of results.jsonl."""
    return [json.loads(line) for line in (Path(words[3]) / "results.jsonl").read_text().splitlines()]


def experiments(collector: Collector) -> dict[str, list[str]]:
    """Return the sorted cases in each arm's experiment."""
    cases = {example["id"]: example["metadata"]["id"] for example in collector.examples}
    return {
        one["extra"]["metadata"]["arm"]: sorted(cases[row["reference_example_id"]] for row in collector.rows(one))
        for one in collector.experiments
    }


COMPLETE = {"single": ["a", "b", "c"], "turns:2": ["a", "b", "c"]}


def test_questions_are_a_dataset_and_each_arm_an_experiment(
    scripted: Scripted, collector: Collector, words: list[str]
) -> None:
    scripted(mixed_model)
    run = llamaberry(*words)
    assert run.returncode == 0
    assert "View the evaluation" not in run.stdout
    assert run.stderr.count("llamaberry: LangSmith experiment ") == run.stderr.count("\n") == 2
    (dataset,) = collector.datasets
    assert dataset["name"].startswith("llamaberry quiz.jsonl ")
    assert "llamaberry eval" in dataset["description"]
    for example in collector.examples:
        assert example["dataset_id"] == dataset["id"]
        assert example["inputs"] == {"query": QUESTIONS[example["metadata"]["id"]]}
        assert example["outputs"] == {"answer": "42"}
    assert experiments(collector) == COMPLETE
    for experiment in collector.experiments:
        assert experiment["reference_dataset_id"] == dataset["id"]
        settings = experiment["extra"]["metadata"]
        assert (settings["model"], settings["temperature"]) == ("groq:openai/gpt-oss-120b", 0.7)
        assert {"command", "machine"}.isdisjoint(settings)


def test_a_row_has_answers_feedback_and_the_graphs_run(
    scripted: Scripted, collector: Collector, words: list[str]
) -> None:
    scripted(mixed_model)
    assert llamaberry(*words).returncode == 0
    cases = {example["id"]: example["metadata"]["id"] for example in collector.examples}
    feedback: dict[str, dict[str, float]] = {}
    for one in collector.feedback:
        feedback.setdefault(one["run_id"], {})[one["key"]] = one["score"]
    turns, marks = {}, {}
    for row in (row for experiment in collector.experiments for row in collector.rows(experiment)):
        arm, case = metadata(row)["arm"], cases[row["reference_example_id"]]
        turns[arm, case] = row["outputs"].pop("turns")
        marks[arm, case] = feedback[row["id"]]
        outputs = {"expected": "42", "answer": turns[arm, case][-1], "stop_reason": "max_turns"}
        assert row["outputs"] == outputs | {"degraded": None, "error": None}
        below = [run for run in collector.runs if run["trace_id"] == row["id"]][1:]
        several = ["turn 1", "check", "turn 2", "synthesis"]
        nodes = several if arm == "turns:2" else ["turn 1"]
        tree = ["  " * (run["dotted_order"].count(".") - 1) + run["name"] for run in below]
        assert tree == expected_tree(*nodes) + (["  synthesis"] if arm == "single" else [])
    answers = {"single": (["41"], ["42"], ["42"]), "turns:2": (["41", "42"], ["42", "41"], ["42", "42"])}
    assert turns == {
        (arm, case): texts for arm, of_arm in answers.items() for case, texts in zip("abc", of_arm, strict=True)
    }
    for (arm, case), scores in marks.items():
        (result,) = [one for one in results(words) if (one["arm"], one["id"]) == (arm, case)]
        tokens = [reply["tokens"] for reply in result["replies"]]
        assert scores.pop("tokens") == sum(one["input"] + one["output"] for one in tokens)
        assert scores.pop("seconds") == pytest.approx(sum(reply["seconds"] for reply in result["replies"]), abs=0.01)
        right = {"single": {"a": 0, "b": 1, "c": 1}, "turns:2": {"a": 1, "b": 0, "c": 1}}[arm][case]
        flipped = {"fixed": int(case == "a"), "broken": int(case == "b")} if arm == "turns:2" else {}
        assert scores == {"correct": right, **flipped}


def test_a_killed_evaluation_resumes_in_its_experiments(
    scripted: Scripted, collector: Collector, words: list[str]
) -> None:
    """Each case has one row, and no call is repeated."""
    groq = scripted(
        lambda request: Reply(hang=True) if "Right?" in json.dumps(request.messages) else mixed_model(request)
    )
    record = Path(words[3]) / "langsmith.jsonl"
    with running_command(*words):
        wait_until(lambda: record.exists() and all(record.read_text().count(f'"{case}"') == 2 for case in "ab"))
    completed_calls = len(groq.requests) - 1  # one hangs
    second_groq = scripted(mixed_model)
    with record.open("a") as file:
        file.write('\n{"arm": "sing')  # an incomplete line
    assert llamaberry(*words).returncode == 0
    assert experiments(collector) == COMPLETE
    assert (len(collector.datasets), len(collector.examples)) == (1, 3)
    assert completed_calls + len(second_groq.requests) == 3 * (1 + 3)
    collector.requests.clear()
    assert llamaberry(*words).returncode == 0
    assert [path for path, _, _ in collector.requests if path != "/info"] == []


def test_only_other_questions_are_another_dataset(
    scripted: Scripted, collector: Collector, words: list[str], tmp_path: Path
) -> None:
    scripted(mixed_model)
    for more in ([], ["--out", str(tmp_path / "elsewhere")], ["--limit", "2"]):
        assert llamaberry(*words, *more).returncode == 0
    assert len(collector.datasets) == 2
    assert len(collector.examples) == 3 + 2
    assert [one["reference_dataset_id"] for one in collector.experiments] == [
        collector.datasets[number]["id"] for number in (0, 0, 0, 0, 1, 1)
    ]


def test_retried_results_go_to_new_experiments(scripted: Scripted, collector: Collector, words: list[str]) -> None:
    """A case has one row per experiment, so that its means are those of the report."""
    no = Reply(status=400, error="No")
    scripted(lambda request: no if "Right?" in json.dumps(request.messages) else mixed_model(request))
    assert llamaberry(*words, "--arms", "single").returncode == 0
    (failed,) = [run for run in collector.runs if (run.get("outputs") or {}).get("error")]
    assert {one["key"]: one["score"] for one in collector.feedback if one["run_id"] == failed["id"]}["correct"] == 0
    groq = scripted(mixed_model)
    assert llamaberry(*words, "--arms", "single", "--retry-errors").returncode == 0
    assert len(groq.requests) == 1
    assert [len(collector.rows(one)) for one in collector.experiments] == [3, 3]


@pytest.mark.parametrize("trouble", COLLECTOR_FAULTS)
def test_langsmith_failures_cost_one_line_and_no_result(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, words: list[str], trouble: str
) -> None:
    groq = scripted(mixed_model)
    settings: Any = COLLECTOR_FAULTS[trouble]
    with serve_collector(Collector(**settings or {})) as server:
        trace_to(server.url if settings else "http://127.0.0.1:9", monkeypatch)
        started_at = time.monotonic()
        run = llamaberry(*words)
        seconds = time.monotonic() - started_at
    assert (run.returncode, run.stderr.count("\n")) == (0, 1), run.stderr
    assert "llamaberry: the experiment did not reach LangSmith: " in run.stderr
    assert (len(results(words)), len(groq.requests)) == (6, 3 * (1 + 3))
    assert seconds < 30


@pytest.mark.parametrize("trouble", [{"status": 500}, {"status": 429}, {"delay": 120}], ids=str)
def test_the_next_run_sends_the_rows_that_failed(
    scripted: Scripted, collector: Collector, words: list[str], trouble: dict[str, Any]
) -> None:
    def script(request: Request) -> str:
        vars(collector).update(trouble)
        return mixed_model(request)

    scripted(script)
    started_at = time.monotonic()
    run = llamaberry(*words, "--concurrency", "1")
    assert time.monotonic() - started_at < 90  # a slow collector is not waited for
    assert (run.returncode, run.stderr.count("\n"), len(results(words))) == (0, 3, 6), run.stderr
    assert run.stderr.count("did not reach LangSmith") == 1
    collector.status, collector.delay = 200, 0
    collector.requests.clear()
    groq = scripted(mixed_model)
    assert llamaberry(*words).returncode == 0
    assert experiments(collector) == COMPLETE
    assert groq.requests == []


def test_without_tracing_nothing_leaves_the_machine(scripted: Scripted, collector: Collector, words: list[str]) -> None:
    scripted(mixed_model)
    code = f"""
import sys
from llamaberry.cli.main import app
app({words!r}, standalone_mode=False)
assert "langsmith.evaluation" not in sys.modules
"""
    command = [sys.executable, "-c", code]
    run = subprocess.run(
        command, env=os.environ | {"LANGSMITH_TRACING": ""}, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert run.returncode == 0, run.stderr
    assert (run.stderr.count("\n"), "LANGSMITH_TRACING is 'not set'" in run.stderr) == (1, True)
    assert len(results(words)) == 6
    assert collector.requests == []


@pytest.mark.parametrize("hidden", ["INPUTS", "OUTPUTS"])
def test_hidden_inputs_are_not_sent_as_a_dataset(
    scripted: Scripted, collector: Collector, words: list[str], hidden: str
) -> None:
    scripted(mixed_model)
    run = llamaberry(*words, **{f"LANGSMITH_HIDE_{hidden}": "true"})
    assert (run.returncode, run.stderr.count("\n")) == (0, 1)
    assert "no experiment is sent to LangSmith" in run.stderr
    assert len(results(words)) == 6
    assert [path for path, _, _ in collector.requests if path != "/info"] == []


def test_a_setup_error_ends_the_command(scripted: Scripted, collector: Collector, words: list[str]) -> None:
    """LangSmith's evaluation ignores errors that its target raises."""
    scripted(mixed_model)
    run = llamaberry(*words, "--judge", "nobody:knows")
    assert (run.returncode, run.stderr.count("\n")) == (2, 3), run.stderr
    assert "nobody" in run.stderr.splitlines()[-1]
    assert [collector.rows(one) for one in collector.experiments] == [[], []]


def test_no_secret_is_sent(scripted: Scripted, collector: Collector, words: list[str]) -> None:
    scripted(mixed_model)
    assert llamaberry(*words, GROQ_API_KEY="gsk_secret", OPENAI_API_KEY="sk-secret").returncode == 0
    sent = b"\n".join(body for _, _, body in collector.requests)
    assert b"quiz.jsonl" in sent
    for secret in (b"gsk_secret", b"sk-secret", b"ls_key", words[1].encode()):
        assert secret not in sent
