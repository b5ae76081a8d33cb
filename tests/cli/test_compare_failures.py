"""`llamaberry compare` where something goes wrong: none of what was paid for is lost."""

import json
import re
import signal

import pytest

from testing.command import QUESTION, begun, cut, llamaberry, until
from testing.compare import Model, compared, kinds
from testing.scripted_groq import Reply, Scripted, first
from testing.scripts import HANG


def test_a_run_that_fails_does_not_take_the_other_with_it(scripted: Scripted) -> None:
    """Which of the two is refused, the network decides."""
    refused = Reply(status=400, error="No \x1b[2Jmore")
    groq = scripted(Model(first=[refused, first("41")]))
    run = llamaberry("compare", QUESTION, "--turns", "2")
    assert run.returncode == 1
    told = re.fullmatch(r"llamaberry: (single|turns:2) failed: [^\x1b\n]*No \[2Jmore.*\n", run.stderr)
    assert told, run.stderr
    assert "failed: there is no answer" in run.stdout
    assert ("Six times seven is 42." if told[1] == "single" else "\n41\n") in run.stdout
    assert "the answers" not in run.stdout
    groq.play(Model(first=[refused, first("41")]))
    document = compared(code=1)
    assert document["agree"] is None
    errors = [document[name]["error"] for name in ("single", "turns:3")]
    assert sorted(error is None for error in errors) == [False, True]
    assert all("answer" in document[name] for name in ("single", "turns:3") if document[name]["error"] is None)


@pytest.mark.parametrize("how", [(), ("--shared-first",), ("--json",)])
def test_where_both_fail_it_is_one_line_and_exit_code_1(scripted: Scripted, how: tuple[str, ...]) -> None:
    scripted(Model(first=Reply(status=401, error="Invalid API Key")))
    run = llamaberry("compare", QUESTION, *how)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert "Invalid API Key" in run.stderr


def test_a_refine_turn_that_fails_degrades_its_run_and_is_told(scripted: Scripted) -> None:
    scripted(Model(refine=Reply(status=400, error="No")))
    run = llamaberry("compare", QUESTION)
    assert run.returncode == 3
    assert "Turn 2 failed, and the turns before it stand" in run.stdout


@pytest.mark.parametrize("how", [(), ("--shared-first",)])
def test_ctrl_c_shows_what_is_done(scripted: Scripted, how: tuple[str, ...]) -> None:
    groq = scripted(Model(refine=HANG))
    with begun("compare", QUESTION, *how) as run:
        until(lambda: "refine" in kinds(groq) and groq.open_requests == 1)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=10)
    assert (run.returncode, err) == (130, "")
    assert "1 turn · max_turns ·" in out
    assert "1 turn · cut ·" in out
    assert "the answers" not in out


def test_ctrl_c_in_json_mode_still_prints_one_document(scripted: Scripted) -> None:
    groq = scripted(Model(refine=HANG))
    out, _ = cut(groq, 2, "compare", QUESTION, "--json", "--shared-first", by=signal.SIGINT)
    document = json.loads(out)
    assert (document["single"]["answer"], document["agree"]) == ("It is 41", None)
    assert document["turns:3"]["turns"] == document["single"]["turns"]
    assert document["turns:3"].keys() == document["single"].keys()


def test_a_pipe_that_is_closed_early_is_no_error(scripted: Scripted) -> None:
    scripted(Model())
    with begun("compare", QUESTION) as run:
        assert run.stdout
        run.stdout.close()
        assert run.wait(30) == 0
        assert run.stderr
        assert run.stderr.read() == ""
