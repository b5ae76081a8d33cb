"""The check: when a program is written, what its prompt has, and what follows from what it prints."""

import asyncio
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llamaberry import Context, build_graph, graph
from testing.entry_points import EntryPoint
from testing.scripted_groq import Reply, Scripted, first, program, refine, synthesis

FORTY_TWO = program("print(6 * 7)")
FORTY_ONE = program("print(40 + 1)")
ESSAY = "A long text.\n\n" * 40
THREAD: Any = {"configurable": {"thread_id": "T"}}


def ask(question: str = "What is 6 x 7?", **settings: Any) -> dict[str, Any]:
    return asyncio.run(graph.ainvoke({"query": question}, context=Context(**settings)))


def texts(request: Any) -> str:
    return "\n".join(message["content"] for message in request.messages)


def test_an_answer_that_the_program_confirms_ends_the_run(scripted: Scripted, entry_point: EntryPoint) -> None:
    """After two calls: nothing is left to weigh."""
    scripted([first("42 km")], [FORTY_TWO])
    result = entry_point("How far?", Context())
    assert (result["stop_reason"], result["answer"], result["concise_answer"]) == ("verified", "42 km", "42 km")
    assert [call["step"] for call in result["calls"]] == ["first_turn", "verify"]
    assert result["check"] == {
        "program": "print(6 * 7)",
        "output": "42\n",
        "error": None,
        "answer": "42",
        "verdict": "agrees",
    }


def test_a_turn_that_follows_the_program_is_verified(scripted: Scripted, entry_point: EntryPoint) -> None:
    groq = scripted([first("41"), first("42")], [FORTY_TWO])
    result = entry_point("What is 6 x 7?", Context())
    assert (result["stop_reason"], result["answer"], len(result["turns"])) == ("verified", "42", 2)
    assert (len(groq.requests), len(groq.program_requests)) == (2, 1)


def test_the_next_turn_sees_the_program_and_no_earlier_answer(scripted: Scripted) -> None:
    groq = scripted([first("41 is my answer"), first("42")], [FORTY_TWO])
    ask()
    prompt = texts(groq.requests[1])
    assert "What is 6 x 7?" in prompt
    assert "```python\nprint(6 * 7)\n```" in prompt
    assert "printed:\n\n```\n42\n```" in prompt
    assert "41 is my answer" not in prompt


def test_a_program_is_written_from_the_question_alone(scripted: Scripted) -> None:
    groq = scripted([first("41 is my answer"), first("43"), first("44"), synthesis()], [FORTY_TWO])
    ask()
    (request,) = groq.program_requests
    assert request.messages[-1]["content"].startswith("What is 6 x 7?\n\n")
    assert "41 is my answer" not in texts(request)


def test_the_program_stands_against_turns_that_differ(scripted: Scripted) -> None:
    """Each of them gives another answer, and the synthesis yet another one."""
    scripted([first("41"), first("43"), first("44"), synthesis("It is 45.", "45")], [FORTY_TWO])
    result = ask()
    assert (result["answer"], result["concise_answer"], result["stop_reason"]) == ("42", "42", "max_turns")


def test_a_synthesis_that_follows_the_program_is_the_answer(scripted: Scripted) -> None:
    groq = scripted([first("41"), first("43"), first("44"), synthesis("It is 42.", "42")], [FORTY_TWO])
    assert ask()["answer"] == "It is 42."
    assert "stands as the result: 42." in groq.requests[-1].messages[-1]["content"]


def test_turns_that_insist_are_weighed_against_the_program(scripted: Scripted) -> None:
    groq = scripted([first("41"), first("43"), first("43"), synthesis("It is 43.", "43")], [FORTY_TWO])
    result = ask()
    assert result["concise_answer"] == "43"
    assert "print(6 * 7)" in groq.requests[-1].messages[-1]["content"]


def test_a_rejected_program_is_written_once_more(scripted: Scripted) -> None:
    """With the reasons of the turn; the second program is compared at once."""
    rejection = f"Program: wrong, it adds.\n\n{first('42')}"
    groq = scripted([first("42 km"), rejection], [FORTY_ONE, FORTY_TWO])
    result = ask()
    assert (result["stop_reason"], result["check"]["program"]) == ("verified", "print(6 * 7)")
    assert "wrong, it adds" in groq.program_requests[1].messages[-1]["content"]


def test_a_turn_that_rejects_the_program_does_not_agree(scripted: Scripted) -> None:
    rejections = [f"Program: wrong.\n\n{first(answer)}" for answer in ("43", "41")]
    scripted([first("42"), *rejections, synthesis()], [FORTY_ONE] * 2)
    result = ask()
    assert (result["check"]["verdict"], result["stop_reason"]) == ("differs", "max_turns")


def test_a_program_is_rejected_only_once(scripted: Scripted) -> None:
    rejection = f"Program: wrong.\n\n{first('42')}"
    groq = scripted([first("42"), rejection, rejection, rejection, synthesis()], [FORTY_ONE] * 2)
    result = ask(max_turns=4)
    assert (len(groq.program_requests), result["concise_answer"], result["check"]["verdict"]) == (2, "42", "differs")


def test_a_failing_program_is_repaired_once(scripted: Scripted) -> None:
    groq = scripted([first("42")], [program("print(1 / 0)"), FORTY_TWO])
    assert ask()["stop_reason"] == "verified"
    repair = groq.program_requests[1].messages
    assert repair[-2]["content"] == program("print(1 / 0)")
    assert "line 1: ZeroDivisionError: division by zero" in repair[-1]["content"]


@pytest.mark.parametrize("second", [program("print(2 / 0)"), program("x = 1 + 1\nif x > 3: print(x)")])
def test_a_program_that_fails_twice_leaves_no_evidence(scripted: Scripted, second: str) -> None:
    groq = scripted([first(), refine(), refine(), synthesis()], [program("print(1 / 0)"), second])
    result = ask()
    assert (result["check"]["verdict"], result["check"]["answer"], result["degraded"]) == ("failed", None, None)
    assert result["check"]["error"]
    assert (result["stop_reason"], len(groq.program_requests)) == ("max_turns", 2)


@pytest.mark.parametrize(
    "reply", ["NONE", "NONE.", "I cannot.", program('print("42")'), program("answer = 42\nprint(answer)")]
)
def test_a_reply_without_a_computation_is_no_evidence(scripted: Scripted, reply: str) -> None:
    """It is asked for once, and the turns go on as without a check."""
    groq = scripted([first("42"), refine(), refine(), synthesis()], [reply])
    result = ask()
    assert result["check"] == {
        "program": None,
        "output": None,
        "error": None,
        "answer": None,
        "verdict": "none",
    }
    assert (result["stop_reason"], len(result["turns"]), result["degraded"]) == ("max_turns", 3, None)
    assert "program" not in groq.requests[1].messages[-1]["content"].lower()


@pytest.mark.parametrize("answer", [ESSAY, "```python\nprint(1)\n```", "One\nTwo\nThree\nFour"])
def test_no_program_is_asked_for_a_long_answer(scripted: Scripted, answer: str) -> None:
    groq = scripted([first(answer), refine(answer), synthesis()])
    result = ask(max_turns=2)
    assert (groq.program_requests, result["check"]["verdict"]) == ([], "none")


def test_no_program_is_asked_for_a_very_long_question(scripted: Scripted) -> None:
    groq = scripted([first("42"), refine("42"), synthesis()])
    ask("6 x 7? " * 5000, max_turns=2)
    assert groq.program_requests == []


def test_a_failed_call_leaves_the_turns(scripted: Scripted) -> None:
    scripted([first("42"), refine(), refine(), synthesis()], [Reply(status=400, error="No luck")])
    result = ask()
    assert (result["answer"], result["stop_reason"], result["check"]["verdict"]) == (
        "The answer is 42.",
        "max_turns",
        "failed",
    )
    assert "The check failed, and the turns went on without it: " in result["degraded"]
    assert "No luck" in result["degraded"]


def test_a_passing_fault_of_the_call_is_retried(scripted: Scripted) -> None:
    groq = scripted([first("42")], [Reply(status=503), FORTY_TWO])
    assert ask()["stop_reason"] == "verified"
    assert len(groq.program_requests) == 2


def test_without_a_check_nothing_is_asked(scripted: Scripted) -> None:
    groq = scripted([first(), refine(), refine(), synthesis()])
    result = ask(verify="none")
    assert (groq.program_requests, result["check"]) == ([], None)


@pytest.mark.parametrize("settings", [{"max_turns": 1}, {"token_budget": 1}, {"deadline_s": 1e-9}])
def test_a_run_that_ends_with_its_first_turn_pays_no_check(scripted: Scripted, settings: dict[str, Any]) -> None:
    groq = scripted()
    ask(**settings)
    assert groq.program_requests == []


def test_each_step_can_have_a_model_of_its_own(scripted: Scripted) -> None:
    groq = scripted([first("41"), first("43"), first("44"), synthesis("It is 42.", "42")], [FORTY_TWO])
    ask(model="a", refine_model="b", verify_model="c", synthesis_model="d")
    assert [request.body["model"] for request in groq.requests] == ["a", "b", "b", "d"]
    assert [request.body["model"] for request in groq.program_requests] == ["c"]


@pytest.mark.parametrize(("temperature", "own"), [(0.7, 0.2), (0.1, 0.1)])
def test_a_program_is_written_at_a_low_temperature(scripted: Scripted, temperature: float, own: float) -> None:
    groq = scripted([first("42")], [FORTY_TWO])
    ask(temperature=temperature)
    assert groq.requests[0].body["temperature"] == temperature
    assert groq.program_requests[0].body["temperature"] == own


def test_a_second_question_is_checked_afresh(scripted: Scripted) -> None:
    thread = build_graph(InMemorySaver())
    for answer, source in (("42", FORTY_TWO), ("41", FORTY_ONE)):
        groq = scripted([first(answer)], [source])
        result = thread.invoke({"query": f"Q {answer}"}, THREAD)
        assert (result["check"]["answer"], result["stop_reason"]) == (answer, "verified")
        assert len(groq.program_requests) == 1


def test_a_fork_that_edits_a_turn_writes_no_new_program(scripted: Scripted) -> None:
    thread = build_graph(InMemorySaver())
    scripted([first("41"), first("42")], [FORTY_TWO])
    thread.invoke({"query": "Q"}, THREAD)
    (before,) = [
        point
        for point in thread.get_state_history(THREAD)
        if point.next == ("verify",) and len(point.values["turns"]) == 2
    ]
    groq = scripted([first("42")])
    fork = thread.update_state(before.config, {"turns": [{"index": 2, "answer": "43"}]})
    result = thread.invoke(None, fork)
    assert [turn["answer"] for turn in result["turns"]] == ["41", "43", "42"]
    assert (result["stop_reason"], groq.program_requests) == ("verified", [])


def test_a_run_resumed_after_the_check_writes_no_new_program(scripted: Scripted) -> None:
    thread = build_graph(InMemorySaver())
    scripted([first("41")], [FORTY_TWO])
    thread.invoke({"query": "Q"}, THREAD, interrupt_after=["verify"])
    groq = scripted([first("42")])
    assert thread.invoke(None, THREAD)["stop_reason"] == "verified"
    assert groq.program_requests == []


def test_a_person_edits_the_turn_that_the_program_checks(scripted: Scripted) -> None:
    thread: Any = build_graph(InMemorySaver())
    scripted([first("41"), first("42")], [FORTY_TWO])
    context = Context(review="each_turn")
    thread.invoke({"query": "Q"}, THREAD, context=context)
    result = thread.invoke(Command(resume={"hint": "Count again."}), THREAD, context=context)
    assert (result["stop_reason"], len(result["turns"])) == ("verified", 2)


async def test_an_own_check_replaces_the_program(scripted: Scripted) -> None:
    """What it writes ends the run as the built-in one's does."""
    groq = scripted([first("42")])

    def own(state: Any) -> Any:
        answer = state["turns"][-1]["answer"]
        check = {"program": None, "output": "42", "error": None, "answer": "42", "verdict": "agrees"}
        return {"check": check, "stop_reason": "verified" if answer == "42" else None}

    result = await build_graph(nodes={"verify": own}).ainvoke({"query": "Q"})
    assert (result["stop_reason"], result["answer"], groq.program_requests) == ("verified", "42", [])


def test_independent_turns_do_not_see_each_other(scripted: Scripted) -> None:
    """Two that agree end the run, and nothing is left to weigh."""
    groq = scripted([first("41"), first("42"), first("**42**")])
    result = ask(second_turn="independent")
    assert [request.messages for request in groq.requests[1:]] == [groq.requests[0].messages] * 2
    assert (result["stop_reason"], result["answer"], len(result["calls"])) == ("agreement", "**42**", 4)
    scripted([first("42"), first("42")])
    assert ask(second_turn="independent")["stop_reason"] == "agreement"


def test_independent_turns_that_all_differ_are_weighed(scripted: Scripted) -> None:
    groq = scripted([first("41"), first("42"), first("43"), synthesis()])
    assert ask(second_turn="independent")["answer"] == "The answer is 42."
    assert "43" in texts(groq.requests[-1])


def test_a_draft_is_reviewed_even_by_independent_turns(scripted: Scripted) -> None:
    groq = scripted([first(ESSAY), refine(ESSAY), synthesis()])
    ask(second_turn="independent", max_turns=2)
    assert "A long text." in texts(groq.requests[1])
