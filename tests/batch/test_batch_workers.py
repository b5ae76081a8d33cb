"""`llamaberry batch --workers`: several processes, one output, one rate limit."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel

from llamaberry import Context, SetupError
from llamaberry.batch import batch
from testing.batch import answered_ids, read_lines, run_batch, write_questions
from testing.command import running_command, usage_error, wait_until
from testing.limited_groq import RateLimitedModel
from testing.local_model import use_scripted_local
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, good_model
from testing.scripts import count_calls, failing_calls, hanging_once

MANY = [f"q{number:02}" for number in range(40)]
WORDS = ("--turns", "1", "--workers", "2")


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """Return the ids of the worker processes."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"batch.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_workers_write_what_one_process_writes(groq: ScriptedGroq, tmp_path: Path) -> None:
    source = write_questions(tmp_path, *MANY)
    lines = [run_batch(source, tmp_path / f"out{count}.jsonl", *WORDS[:3], count) for count in "13"]
    for line in (line for result in lines for line in result):
        line["usage"] = line["usage"]["calls"]
    one, three = (sorted(result, key=lambda line: line["line"]) for result in lines)
    assert one == three


def test_a_failed_question_is_a_line_with_its_error(scripted: Scripted, tmp_path: Path) -> None:
    scripted(failing_calls(("b", "turn 1")))
    lines = run_batch(write_questions(tmp_path, *"abc"), tmp_path / "out.jsonl", *WORDS, code=3)
    assert {line["id"]: "error" in line for line in lines} == {"a": False, "b": True, "c": False}


def test_all_workers_keep_to_one_rate_limit(scripted: Scripted, tmp_path: Path) -> None:
    """Two workers that paced themselves would start twice as many calls as the limit allows."""
    model = RateLimitedModel(maximum=10, refill_s=1, kind="window")
    scripted(model)
    run_batch(write_questions(tmp_path, *MANY[:30]), tmp_path / "out.jsonl", *WORDS)
    assert model.answered == 30
    assert len(model.refused_at) <= 1


def test_a_call_refused_with_429_is_made_again(scripted: Scripted, tmp_path: Path) -> None:
    refusal = Reply(status=429, headers={"retry-after": "0.01"})
    groq = scripted([refusal, first("42")])
    (line,) = run_batch(write_questions(tmp_path, "Q"), tmp_path / "out.jsonl", *WORDS)
    assert (line["concise_answer"], len(groq.requests)) == ("42", 2)


def test_the_question_of_a_killed_worker_is_asked_again(scripted: Scripted, tmp_path: Path) -> None:
    groq, out = scripted(hanging_once(("a", "turn 1"))), tmp_path / "out.jsonl"
    with running_command("batch", write_questions(tmp_path, *"abc"), str(out), *WORDS) as process:
        wait_until(lambda: groq.open_requests)
        for worker in workers_of(process):
            os.kill(worker, signal.SIGKILL)
        assert process.wait(timeout=120) == 0
    assert answered_ids(out) == ["a", "b", "c"]


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_the_workers_end_with_the_batch(scripted: Scripted, tmp_path: Path, by: signal.Signals) -> None:
    groq = scripted(hanging_once(("a", "turn 1")))
    command = ("batch", write_questions(tmp_path, "a"), str(tmp_path / "out.jsonl"), *WORDS)
    with running_command(*command) as process:
        wait_until(lambda: groq.open_requests)
        workers = workers_of(process)
        process.send_signal(by)
        process.wait(timeout=120)
        assert len(workers) == 2
        wait_until(lambda: not any(map(is_alive, workers)))


def test_a_killed_batch_resumes_in_its_workers(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted(lambda request: Reply(good_model(request), delay=0.05))
    source, out = write_questions(tmp_path, *MANY), tmp_path / "out.jsonl"
    with running_command("batch", source, str(out), *WORDS, "--concurrency", "4") as process:
        wait_until(lambda: len(read_lines(out)) >= 10)
        process.kill()
    before = answered_ids(out)
    groq.requests.clear()
    run_batch(source, out, *WORDS)
    assert answered_ids(out) == MANY
    assert {name for name, _ in count_calls(groq)} >= set(MANY) - set(before)
    assert not {name for name, _ in count_calls(groq)} & set(before)


def test_the_local_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_openai")
    use_scripted_local(tmp_path, monkeypatch)
    command = ("batch", write_questions(tmp_path, "Q"), str(tmp_path / "out.jsonl"), *WORDS)
    assert "leave out --workers" in usage_error(*command, "--model", "local")


def test_a_model_object_is_refused(tmp_path: Path) -> None:
    source, model = Path(write_questions(tmp_path, "Q")), FakeListChatModel(responses=["42"])
    with pytest.raises(SetupError, match="cannot be sent to other processes"):
        asyncio.run(batch(source, tmp_path / "out.jsonl", Context(), workers=2, model=model))


def test_a_wrong_key_stops_the_batch(scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    command = ("batch", write_questions(tmp_path, "Q"), str(tmp_path / "out.jsonl"), *WORDS)
    assert "GROQ_API_KEY" in usage_error(*command, "--model", "groq:any")
