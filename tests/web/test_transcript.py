"""The messages of a run while it goes on."""

from typing import Any

import pytest

from llamaberry.web.transcript import Transcript

QUESTION: dict[str, Any] = {"query": "Q"}


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transcript(clock: Clock) -> Transcript:
    return Transcript("T", QUESTION, clock=clock)


def started(turn: int = 1, attempt: int = 1) -> Any:
    return {"type": "turn_started", "turn": turn, "kind": "first" if turn == 1 else "refine", "attempt": attempt}


def token(text: str, step: str = "turn 1") -> Any:
    return {"type": "token", "step": step, "turn": None, "attempt": 1, "text": text}


def newest(transcript: Transcript) -> tuple[str, Any]:
    message = transcript.messages[-1]
    return message["content"], message.get("metadata")


def test_a_step_shows_its_seconds_while_it_is_written(transcript: Transcript, clock: Clock) -> None:
    transcript.add(started())
    assert newest(transcript) == ("", {"title": "Turn 1", "status": "pending"})
    transcript.add(token("## Rea"))
    clock.now = 2.4
    assert newest(transcript) == ("## Rea", {"title": "Turn 1", "status": "pending", "log": "2 s"})


def test_a_retry_is_a_thought_of_its_own(transcript: Transcript, clock: Clock) -> None:
    transcript.add(started())
    transcript.add(token("cut"))
    clock.now = 3
    transcript.add(started(attempt=2))
    assert [message["metadata"]["title"] for message in transcript.messages[1:]] == [
        "Turn 1 · not finished",
        "Turn 1, attempt 2",
    ]
    assert transcript.messages[1]["content"] == "cut"
    assert newest(transcript)[0] == ""


def test_only_the_first_token_of_a_synthesis_is_news(transcript: Transcript) -> None:
    transcript.add(started())
    assert not transcript.add(token("a"))
    assert transcript.add(token("b", "synthesis"))
    assert not transcript.add(token("c", "synthesis"))
    assert newest(transcript) == ("bc", {"title": "Synthesis", "status": "pending"})


def test_thoughts_of_a_reasoning_model_are_not_shown(transcript: Transcript) -> None:
    transcript.add(started())
    transcript.add(token("<think>Well"))
    assert newest(transcript)[0] == ""
    transcript.add(token("</think>So"))
    assert newest(transcript)[0] == "So"


def test_a_turn_names_the_tools_that_it_called(transcript: Transcript) -> None:
    call = {"turn": 1, "call": 1, "name": "add", "args": {"a": 1}, "result": "2*", "error": None, "seconds": 0.5}
    transcript.add(started())
    transcript.add({"type": "tool_finished", **call})  # type: ignore[arg-type]
    transcript.add(token("reply"))
    finished: Any = {"turn": 1, "kind": "first", "verdict": None, "answer": "2", "seconds": 1.0, "tokens": None}
    transcript.add({"type": "turn_finished", **finished})
    assert newest(transcript)[0] == "tool · add(a=1) → 2&#42; · 0.5 s\n\nreply"


def test_an_end_leaves_nothing_pending(transcript: Transcript) -> None:
    transcript.add(started())
    transcript.end("**Stopped.**")
    assert [message.get("metadata", {}).get("status") for message in transcript.messages] == [None, "done", None]
