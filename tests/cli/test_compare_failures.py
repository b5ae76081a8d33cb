"""`llamaberry compare` if something fails: no finished turn is lost."""

import json
import re
import signal

import pytest

from testing.command import LIMIT_S, QUESTION, llamaberry, running_command, signal_during_call, wait_until
from testing.compare import ModelByKind, request_kinds, run_compare
from testing.scripted_groq import Reply, Scripted, first
from testing.scripts import HANG


def test_a_failed_run_does_not_stop_the_other(scripted: Scripted) -> None:
    """Either of them may be the one that fails."""
    refused = Reply(status=400, error="No \x1b[2Jmore")
    groq = scripted(ModelByKind(first=[refused, first("41")]))
    run = llamaberry("compare", QUESTION, "--turns", "2")
    assert run.returncode == 1
    failure = re.fullmatch(r"llamaberry: (single|turns:2) failed: [^\x1b\n]*No \[2Jmore.*\n", run.stderr)
    assert failure, run.stderr
    assert "failed: there is no answer" in run.stdout
    assert ("Six times seven is 42." if failure[1] == "single" else "\n41\n") in run.stdout
    assert "the answers" not in run.stdout
    groq.play(ModelByKind(first=[refused, first("41")]))
    document = run_compare(code=1)
    assert document["agree"] is None
    errors = [document[name]["error"] for name in ("single", "turns:3")]
    assert sorted(error is None for error in errors) == [False, True]
    assert all("answer" in document[name] for name in ("single", "turns:3") if document[name]["error"] is None)


@pytest.mark.parametrize("how", [(), ("--shared-first",), ("--json",)])
def test_two_failed_runs_are_one_line_and_exit_code_1(scripted: Scripted, how: tuple[str, ...]) -> None:
    scripted(ModelByKind(first=Reply(status=401, error="Invalid API Key")))
    run = llamaberry("compare", QUESTION, *how)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert "Invalid API Key" in run.stderr


def test_a_failed_refine_turn_degrades_only_its_run(scripted: Scripted) -> None:
    scripted(ModelByKind(refine=Reply(status=400, error="No")))
    run = llamaberry("compare", QUESTION)
    assert run.returncode == 3
    assert "Turn 2 failed, and the turns before it stand" in run.stdout


@pytest.mark.parametrize("how", [(), ("--shared-first",)])
def test_ctrl_c_prints_finished_turns(scripted: Scripted, how: tuple[str, ...]) -> None:
    groq = scripted(ModelByKind(refine=HANG))
    with running_command("compare", QUESTION, *how) as run:
        wait_until(lambda: "refine" in request_kinds(groq) and groq.open_requests == 1)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=LIMIT_S)
    assert (run.returncode, err) == (130, "")
    assert "1 turn · all turns used ·" in out
    assert "1 turn · interrupted ·" in out
    assert "the answers" not in out


def test_ctrl_c_in_compare_json_still_prints_one_document(scripted: Scripted) -> None:
    groq = scripted(ModelByKind(refine=HANG))
    out, _ = signal_during_call(groq, 2, "compare", QUESTION, "--json", "--shared-first", by=signal.SIGINT)
    document = json.loads(out)
    assert (document["single"]["answer"], document["agree"]) == ("It is 41", None)
    assert document["turns:3"]["turns"] == document["single"]["turns"]
    assert document["turns:3"].keys() == document["single"].keys()


def test_compare_accepts_a_closed_pipe(scripted: Scripted) -> None:
    scripted(ModelByKind())
    with running_command("compare", QUESTION) as run:
        assert run.stdout
        run.stdout.close()
        assert run.wait(LIMIT_S) == 0
        assert run.stderr
        assert run.stderr.read() == ""
