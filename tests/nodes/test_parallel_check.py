"""The check's program, written in parallel with the first turn."""

import asyncio
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from llamaberry import Context, build_graph, graph
from testing.command import wait_until
from testing.scripted_groq import Reply, Scripted, first, program, refine, synthesis

QUESTION = {"query": "What is 6 x 7?"}
FAILING, REPAIRED = program("print(6 *** 7)"), program("print(21 * 2)")


def ask(**settings: Any) -> Any:
    return graph.invoke(QUESTION, context=Context(**{"verify": "parallel", **settings}))


def steps(result: Any) -> list[str]:
    return [call["step"] for call in result["calls"]]


async def test_the_program_is_asked_for_during_the_turn(scripted: Scripted) -> None:
    groq = scripted([Reply(hang=True)], [program()])
    run = asyncio.create_task(graph.ainvoke(QUESTION, context=Context(verify="parallel")))
    await asyncio.to_thread(wait_until, lambda: groq.program_requests)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def test_a_confirmed_answer_takes_two_calls(scripted: Scripted) -> None:
    scripted([first("42")], [program()])
    result = ask()
    assert (result["answer"], result["stop_reason"], steps(result)) == ("42", "verified", ["first_turn", "verify"])
    assert result["usage"]["calls"] == 2


def test_a_program_that_differs_is_seen_by_the_next_turn(scripted: Scripted) -> None:
    groq = scripted([first("41"), first("42")], [program()])
    result = ask()
    assert steps(result) == ["first_turn", "verify", "refine_turn 2"]
    assert (result["concise_answer"], len(groq.program_requests)) == ("42", 1)


def test_a_failing_program_is_repaired_after_the_turn(scripted: Scripted) -> None:
    groq = scripted([first("42")], [FAILING, REPAIRED])
    result = ask()
    assert (result["stop_reason"], steps(result)) == ("verified", ["first_turn", "verify", "verify"])
    assert len(groq.program_requests) == 2


def test_the_program_is_dropped_if_the_answer_is_a_text(scripted: Scripted) -> None:
    text = "An essay. " * 60
    scripted([first(text), refine(text), synthesis(text, "An essay")], [program()])
    result = ask(max_turns=2)
    assert (result["check"]["verdict"], result["stop_reason"]) == ("none", "max_turns")


def test_no_program_is_asked_for_twice(scripted: Scripted) -> None:
    groq = scripted([first("42"), refine("42"), synthesis()], ["NONE"])
    result = ask(max_turns=2)
    assert (result["check"]["verdict"], len(groq.program_requests)) == ("none", 1)


def test_a_failed_request_is_made_again_by_verify(scripted: Scripted) -> None:
    groq = scripted([first("42")], [Reply(status=400), program()])
    result = ask()
    assert (result["stop_reason"], result["degraded"], len(groq.program_requests)) == ("verified", None, 2)


def test_a_retried_first_turn_writes_no_second_program(scripted: Scripted) -> None:
    groq = scripted([Reply(""), first("42")], [program(), program()])
    assert ask()["stop_reason"] == "verified"
    assert len(groq.requests) == 2
    assert len(groq.program_requests) <= 2  # the first one is lost with its attempt


@pytest.mark.parametrize("settings", [{"max_turns": 1}, {"verify": "none"}])
def test_a_run_without_a_check_writes_no_program(scripted: Scripted, settings: dict[str, Any]) -> None:
    groq = scripted([first("42"), refine("42"), refine("42"), synthesis()])
    ask(**settings)
    assert groq.program_requests == []


def test_a_check_of_your_own_takes_its_place(scripted: Scripted) -> None:
    groq = scripted([first("42"), refine("42"), synthesis()])
    own = build_graph(nodes={"verify": lambda state: None})
    own.invoke(QUESTION, context=Context(verify="parallel", max_turns=2))
    assert groq.program_requests == []


async def test_its_pieces_are_not_among_the_streamed_messages(scripted: Scripted) -> None:
    scripted([first("42")], [program()])
    context = Context(verify="parallel")
    pieces = [piece async for piece in graph.astream(QUESTION, context=context, stream_mode="messages")]
    assert "print" not in "".join(message.text for message, _ in pieces)


def test_a_thread_has_the_check_after_the_first_turn(scripted: Scripted) -> None:
    scripted([first("42")], [program()])
    config: Any = {"configurable": {"thread_id": "T"}}
    kept = build_graph(InMemorySaver())
    kept.invoke(QUESTION, config, context=Context(verify="parallel"), interrupt_after=["first_turn"])
    state = kept.get_state(config)
    assert (state.values["check"]["verdict"], state.next) == ("agrees", ("verify",))
