"""LangSmith on the command line: what it prints, what it never sends, and an exit that does not wait long."""

import json
import time
from typing import Any

import pytest
from langsmith import Client

from testing.collector import Collector, metadata, serve_collector
from testing.command import llamaberry
from testing.environment import trace_to
from testing.scripted_groq import NO_RETRY, Reply, Scripted, first, program, refine, synthesis
from testing.scripts import REVISED_ANSWER
from testing.traces import COLLECTOR_FAULTS, expected_tree


def test_trace_and_json_print_the_run_id(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    run = llamaberry("ask", "Q", "--json", "--trace")
    root = collector.run("llamaberry")["id"]
    assert json.loads(run.stdout)["run_id"] == root
    assert run.stderr == f"llamaberry: trace: LangSmith project 'tests', run {root}\n"


def test_feedback_can_score_the_run_id(scripted: Scripted, collector: Collector) -> None:
    """As docs/traces.md shows."""
    scripted(REVISED_ANSWER)
    run_id = json.loads(llamaberry("ask", "Q", "--json").stdout)["run_id"]
    client = Client()
    project = client.read_project(project_name="tests")
    client.create_feedback(run_id, key="correct", score=1, trace_id=run_id, session_id=project.id)
    client.flush()
    client.close()
    (feedback,) = collector.feedback
    assert (feedback["run_id"], feedback["key"], feedback["score"]) == (collector.run("llamaberry")["id"], "correct", 1)


@pytest.mark.parametrize("trouble", COLLECTOR_FAULTS)
def test_a_failing_collector_costs_one_line_and_seconds(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """The process ends before LangSmith's client would give up."""
    scripted(REVISED_ANSWER)
    settings: Any = COLLECTOR_FAULTS[trouble]
    with serve_collector(Collector(**settings or {})) as server:
        trace_to(server.url if settings else "http://127.0.0.1:9", monkeypatch)
        started_at = time.monotonic()
        run = llamaberry("ask", "-q", "Q")
        seconds = time.monotonic() - started_at
    assert (run.returncode, run.stdout) == (0, "The answer is 42.\n")
    assert (run.stderr.count("\n"), run.stderr[:21]) == (1, "llamaberry: the trace")
    assert seconds < 15  # by default 20 s with an unreachable collector, and minutes with a slow one


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"LANGSMITH_TRACING": "", "LANGSMITH_API_KEY": "ls_key"}, "LANGSMITH_TRACING is 'not set'"),
        ({"LANGSMITH_TRACING": "1", "LANGSMITH_API_KEY": "ls_key"}, "LANGSMITH_TRACING is '1'"),
        ({"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": ""}, "LANGSMITH_API_KEY is not set"),
        ({"LANGSMITH_TRACING": "false", "LANGSMITH_API_KEY": "ls_key"}, ""),
        ({"LANGSMITH_TRACING": "", "LANGSMITH_API_KEY": ""}, ""),
    ],
)
def test_incomplete_settings_send_nothing_and_print_one_line(
    scripted: Scripted, collector: Collector, settings: dict[str, str], message: str
) -> None:
    scripted(REVISED_ANSWER)
    run = llamaberry("ask", "-q", "Q", **settings)
    assert (run.returncode, run.stdout) == (0, "The answer is 42.\n")
    assert message in run.stderr
    assert run.stderr.count("\n") == (1 if message else 0)
    assert collector.requests == []


def test_hidden_inputs_and_outputs_stay_hidden(scripted: Scripted, collector: Collector) -> None:
    """Also in the metadata of the run, which has its settings."""
    scripted([first("Zanzibar"), refine("Zanzibar"), synthesis("It is Zanzibar.", "Zanzibar")])
    hide = {"LANGSMITH_HIDE_INPUTS": "true", "LANGSMITH_HIDE_OUTPUTS": "true"}
    words = ("ask", "-q", "Where is Freddie from?", "--turns", "2", "--system-prompt", "You are Bulsara.")
    assert llamaberry(*words, **hide).stdout == "It is Zanzibar.\n"
    assert collector.tree() == expected_tree("turn 1", "check", "turn 2", "synthesis")
    for secret in (b"anzibar", b"Freddie", b"Bulsara"):
        assert secret not in collector.all_bytes
    assert metadata(collector.run("turn 2"))["verdict"] == "keep"


def test_a_hidden_program_and_its_output_stay_hidden(scripted: Scripted, collector: Collector) -> None:
    scripted([first("zanzibar")], [program("print('ZANZIBAR'.lower())")])
    hide = {"LANGSMITH_HIDE_INPUTS": "true", "LANGSMITH_HIDE_OUTPUTS": "true"}
    assert llamaberry("ask", "-q", "Q", **hide).stdout == "zanzibar\n"
    assert b"zanzibar" not in collector.all_bytes.lower()
    assert metadata(collector.run("check"))["verdict"] == "agrees"


def test_an_invalid_langsmith_variable_costs_only_the_trace(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    run = llamaberry("ask", "-q", "Q", LANGSMITH_TRACING_SAMPLING_RATE="half")
    assert (run.returncode, run.stdout) == (0, "The answer is 42.\n")
    assert (run.stderr.count("\n"), "'half'" in run.stderr) == (1, True)


def test_sampling_works(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    assert llamaberry("ask", "-q", "Q", LANGSMITH_TRACING_SAMPLING_RATE="0").returncode == 0
    assert collector.runs == []


def test_a_resumed_run_is_a_new_trace_on_the_same_thread(scripted: Scripted, collector: Collector) -> None:
    scripted([Reply(status=503, headers=NO_RETRY)])
    assert llamaberry("ask", "Q", "--thread", "T").returncode == 1
    scripted(REVISED_ANSWER)
    assert llamaberry("resume", "T").returncode == 0
    roots = [run for run in collector.runs if run["name"] == "llamaberry"]
    assert [bool(run.get("error")) for run in roots] == [True, False]
    assert len({run["trace_id"] for run in roots}) == 2
    assert {metadata(run)["thread_id"] for run in roots} == {"T"}
