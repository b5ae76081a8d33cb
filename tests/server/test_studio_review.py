"""Human review, and the events for a front end, on the real server."""

from typing import Any

from testing.scripted_groq import first, refine, synthesis
from testing.studio import INPUT, Studio

REVIEW = {"max_turns": 2, "review": "each_turn"}


def test_a_review_asks_again_after_an_invalid_answer(studio: Studio) -> None:
    studio.groq.play([first("41"), refine("42", "revise"), synthesis("It is 42.", "42")])
    answers: list[Any] = ["perhaps", {"hint": "Count the zero."}, "continue"]
    pauses = []
    result = studio.run(input=INPUT, context=REVIEW)
    for answer in answers:
        (pause,) = result["__interrupt__"]
        pauses.append((pause["value"]["turn"]["index"], bool(pause["value"]["problem"])))
        result = studio.client.runs.wait(studio.thread, studio.assistant, command={"resume": answer}, context=REVIEW)
    assert pauses == [(1, False), (1, True), (2, False)]
    assert result["answer"] == "It is 42."
    assert result["turns"][0]["hint"] == "Count the zero."
    assert "Count the zero." in studio.groq.requests[1].messages[-1]["content"]


def test_the_server_streams_the_custom_events(studio: Studio) -> None:
    run = studio.client.runs.stream(
        studio.thread, studio.assistant, input=INPUT, context={"max_turns": 1}, stream_mode="custom"
    )
    events: list[Any] = [part.data for part in run if part.event == "custom"]
    assert [event["type"] for event in events] == ["turn_started", "turn_finished", "refining_ended"]
    assert events[-1]["reason"] == "max_turns"
