"""The check on the real server, which refuses blocking calls: a program that runs, its events, and edits by forks."""

from typing import Any

import pytest

from testing.scripted_groq import first, program, refine
from testing.studio import INPUT, TWO_TURNS, Studio


@pytest.fixture
def checked(studio: Studio) -> Studio:
    """A thread on which the program corrected the first turn's answer."""
    studio.groq.play([first("41"), refine("42", "revise")], [program("print(6 * 7)")])
    result = studio.run(input=INPUT)
    assert (result["stop_reason"], result["answer"]) == ("verified", "42")
    return studio


def test_a_program_runs_on_the_server(studio: Studio) -> None:
    studio.groq.play([first("42")], [program("print(6*7)")])
    result = studio.run(input=INPUT)
    assert (result["stop_reason"], result["answer"]) == ("verified", "42")
    expected = {"program": "print(6*7)", "output": "42\n", "error": None, "answer": "42", "verdict": "agrees"}
    assert result["check"] == expected
    assert [call["step"] for call in result["calls"]] == ["first_turn", "verify"]


def test_the_server_streams_the_events_of_a_check(studio: Studio) -> None:
    studio.groq.play([first("42")], [program("print(6 * 7)")])
    run = studio.client.runs.stream(studio.thread, studio.assistant, input=INPUT, stream_mode="custom")
    events: list[Any] = [part.data for part in run if part.event == "custom"]
    check = ["check_started", "check_finished"]
    assert [event["type"] for event in events] == ["turn_started", "turn_finished", *check, "refining_ended"]
    assert (events[3]["turn"], events[3]["verdict"], events[3]["output"]) == (1, "agrees", "42\n")


def test_an_edited_turn_is_compared_without_a_call(checked: Studio) -> None:
    state = checked.state_before("verify", turns=2)
    checked.groq.play()
    edit: Any = {"turns": [{"index": 2, "answer": "40"}]}
    fork: Any = checked.client.threads.update_state(checked.thread, edit, checkpoint=state["checkpoint"])
    result = checked.run(checkpoint=fork["checkpoint"], interrupt_before=["synthesize"])
    assert (result["check"]["verdict"], result["stop_reason"]) == ("differs", "max_turns")
    assert checked.groq.requests == checked.groq.program_requests == []


def test_an_edited_check_is_what_turns_are_compared_with(checked: Studio) -> None:
    state = checked.state_before("refine_turn")
    edited = {**state["values"]["check"], "output": "43\n", "answer": "43"}
    fork: Any = checked.client.threads.update_state(checked.thread, {"check": edited}, checkpoint=state["checkpoint"])
    checked.groq.play([refine("43", "revise")], [])
    result = checked.run(checkpoint=fork["checkpoint"], context=TWO_TURNS)
    assert "43" in checked.groq.requests[0].messages[-1]["content"]
    assert (result["stop_reason"], result["answer"]) == ("verified", "43")
