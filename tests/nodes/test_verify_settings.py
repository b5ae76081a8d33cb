"""The check between turns: its settings and limits, its threads and forks, and a node in its place."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llamaberry import Context, build_graph, graph
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, good_model, program, refine, synthesis

QUESTION = {"query": "What is 6 x 7?"}
THREAD: Any = {"configurable": {"thread_id": "T"}}
REJECTION = f"Program: wrong.\n\n{first('13')}"


def ask(**settings: Any) -> Any:
    return graph.invoke(QUESTION, context=Context(**settings))


def programs(groq: ScriptedGroq) -> int:
    """Return the number of requests for a program, and forget all requests."""
    count = len(groq.program_requests)
    groq.program_requests.clear()
    groq.requests.clear()
    return count


def test_without_the_check_no_program_is_asked_for(groq: ScriptedGroq) -> None:
    result = ask(verify="none")
    assert (result["check"], result["stop_reason"], programs(groq)) == (None, "max_turns", 0)


def test_a_single_turn_is_not_checked(groq: ScriptedGroq) -> None:
    result = ask(max_turns=1)
    assert (result["check"], result["stop_reason"]) == (None, "max_turns")
    assert (len(groq.requests), programs(groq)) == (1, 0)


@pytest.mark.parametrize("settings", [{"token_budget": 1}, {"deadline_s": 0.001}])
def test_a_limit_after_the_first_turn_saves_the_check(scripted: Scripted, settings: Any) -> None:
    groq = scripted(lambda request: Reply(good_model(request), delay=0.005))
    assert ask(**settings)["check"] is None
    assert programs(groq) == 0


def test_each_step_can_have_its_own_model(scripted: Scripted) -> None:
    """The others use the run's."""
    groq = scripted([first("41"), first("40"), synthesis("It is 42.", "42")], [program()])
    models = {"model": "groq:a", "refine_model": "groq:b", "verify_model": "groq:c", "synthesis_model": "groq:d"}
    result = ask(max_turns=2, **models)
    assert [request.body["model"] for request in groq.requests] == ["a", "b", "d"]
    assert [request.body["model"] for request in groq.program_requests] == ["c"]
    assert [call["model"] for call in result["calls"]] == ["groq:a", "groq:c", "groq:b", "groq:d"]
    assert [turn["model"] for turn in result["turns"]] == ["groq:a", "groq:b"]


@pytest.mark.parametrize(("temperature", "expected"), [(0.7, 0.2), (2, 0.2), (0.1, 0.1)])
def test_a_program_is_written_at_a_low_temperature(groq: ScriptedGroq, temperature: float, expected: float) -> None:
    ask(temperature=temperature)
    assert [request.body["temperature"] for request in groq.program_requests] == [expected]
    assert {request.body["temperature"] for request in groq.requests} == {temperature}


def test_an_independent_second_turn_sees_no_turn(scripted: Scripted) -> None:
    """Only if no program contradicts the first."""
    groq = scripted([first("41"), first("42"), synthesis()])
    ask(max_turns=2, second_turn="independent")
    assert groq.requests[1].messages == groq.requests[0].messages


def test_a_second_question_is_checked_afresh(scripted: Scripted) -> None:
    groq = scripted([first("42"), first("13"), first("Prose.")], [program(), program("print(6 + 7)")])
    thread = build_graph(InMemorySaver())
    results = [thread.invoke({"query": query}, THREAD) for query in ("6 x 7?", "6 + 7?")]
    assert [result["check"]["program"] for result in results] == ["print(6 * 7)", "print(6 + 7)"]
    assert "print(6 * 7)" not in str(groq.program_requests[1].messages)
    assert thread.invoke({"query": "Why?"}, THREAD, context=Context(max_turns=1))["check"] is None


def test_a_question_after_one_without_a_program_is_checked(scripted: Scripted) -> None:
    groq = scripted([first("Rain."), first("42")], ["NONE", program()])
    thread = build_graph(InMemorySaver())
    thread.invoke({"query": "Name a weather."}, THREAD, interrupt_after=["verify"])
    assert thread.invoke(QUESTION, THREAD)["stop_reason"] == "verified"
    assert programs(groq) == 2


@pytest.mark.parametrize("edit", [{"answer": "42"}, {"text": first("42")}], ids=["answer", "text"])
def test_a_fork_before_the_check_compares_the_edit(scripted: Scripted, edit: Any) -> None:
    groq = scripted([first("41"), first("43"), synthesis()], [program()])
    thread = build_graph(InMemorySaver())
    assert thread.invoke(QUESTION, THREAD, context=Context(max_turns=2))["stop_reason"] == "max_turns"
    assert programs(groq) == 1
    second = next(s for s in thread.get_state_history(THREAD) if s.next == ("verify",) and len(s.values["turns"]) == 2)
    fork = thread.update_state(second.config, {"turns": [{"index": 2, **edit}]}, as_node="refine_turn")
    result = thread.invoke(None, fork)
    assert (result["stop_reason"], result["concise_answer"], programs(groq)) == ("verified", "42", 0)


def test_a_fork_after_the_check_compares_the_edit(scripted: Scripted) -> None:
    """The stored verdict is that of the answer before the edit."""
    groq = scripted([first("41"), first("42"), refine("42")], [program()])
    thread = build_graph(InMemorySaver())
    thread.invoke(QUESTION, THREAD)
    assert programs(groq) == 1
    checked = next(s for s in thread.get_state_history(THREAD) if s.next == ("refine_turn",))
    fork = thread.update_state(checked.config, {"turns": [{"index": 1, "answer": "42"}]})
    result = thread.invoke(None, fork)
    assert groq.requests[0].messages[-2]["content"].endswith("## Answer\n42")
    assert (result["stop_reason"], result["concise_answer"], programs(groq)) == ("verified", "42", 0)


def test_a_verified_run_resumes_without_another_program(scripted: Scripted) -> None:
    groq = scripted([first("41"), first("42")], [program()])
    thread = build_graph(InMemorySaver())
    thread.invoke(QUESTION, THREAD, interrupt_after=["verify"])
    assert thread.get_state(THREAD).next == ("refine_turn",)
    assert programs(groq) == 1
    assert thread.invoke(None, THREAD)["stop_reason"] == "verified"
    assert programs(groq) == 0


def test_a_repair_resumes_with_the_failed_program(scripted: Scripted) -> None:
    """Each program is one run of the node, so that a checkpoint keeps it."""
    groq = scripted([first("42")], [program("print(6 / 0)"), program()])
    thread = build_graph(InMemorySaver())
    thread.invoke(QUESTION, THREAD, interrupt_after=["verify"])
    assert thread.get_state(THREAD).next == ("verify",)
    assert programs(groq) == 1
    assert (thread.invoke(None, THREAD)["stop_reason"], programs(groq)) == ("verified", 1)


def test_a_review_sees_each_turn_after_its_check(scripted: Scripted) -> None:
    """An edited answer is compared with the program's output, not the one before it."""
    groq = scripted([first("41"), refine("42")], [program()])
    thread = build_graph(InMemorySaver())
    context = Context(review="each_turn")
    paused = thread.invoke(QUESTION, THREAD, context=context)
    assert (paused["check"]["verdict"], paused["__interrupt__"][0].value["turn"]["answer"]) == ("differs", "41")
    result = thread.invoke(Command(resume={"answer": "42"}), THREAD, context=context)
    assert "42" in groq.requests[1].messages[-2]["content"]
    assert (result["stop_reason"], programs(groq)) == ("verified", 1)


def test_a_hint_reaches_the_prompt_after_a_program(scripted: Scripted) -> None:
    groq = scripted([first("41"), first("42")], [program()])
    thread = build_graph(InMemorySaver())
    context = Context(review="each_turn")
    thread.invoke(QUESTION, THREAD, context=context)
    thread.invoke(Command(resume={"hint": "Multiply."}), THREAD, context=context)
    assert groq.requests[1].messages[-1]["content"].endswith("Take this remark into account:\nMultiply.")


def test_a_review_before_the_synthesis_needs_no_synthesis(scripted: Scripted) -> None:
    scripted([first("42")], [program()])
    thread = build_graph(InMemorySaver())
    context = Context(review="before_synthesis")
    assert "__interrupt__" in thread.invoke(QUESTION, THREAD, context=context)
    assert thread.invoke(Command(resume="continue"), THREAD, context=context)["concise_answer"] == "42"


def test_an_own_check_replaces_the_program(scripted: Scripted) -> None:
    """Its hint reaches the next prompt, and it may write the check and why to stop."""

    def own(state: Any) -> Any:
        newest = state["turns"][-1]
        if newest["answer"] == "42":
            return {"stop_reason": "verified"}
        return {"turns": [{"index": newest["index"], "hint": "It is even."}]}

    groq = scripted([first("41"), refine("42"), synthesis()], [])
    result = build_graph(nodes={"verify": own}).invoke(QUESTION)
    hinted = ["It is even." in request.messages[-1]["content"] for request in groq.requests]
    assert (result["stop_reason"], len(result["turns"]), programs(groq)) == ("verified", 2, 0)
    assert hinted == [False, True, False]


def test_an_own_check_runs_after_each_turn(scripted: Scripted) -> None:
    checked: list[int] = []
    scripted()
    build_graph(nodes={"verify": lambda state: checked.append(len(state["turns"]))}).invoke(QUESTION)
    assert checked == [1, 2, 3]


@pytest.mark.parametrize(
    ("comprehensive", "concise", "expected"),
    [
        ("No, it is not.", "No", ("Yes", "Yes")),
        ("So the answer is yes: it follows.", "It follows.", ("So the answer is yes: it follows.", "Yes")),
        ("It follows. Yes.", "**Yes.**", ("It follows. Yes.", "**Yes.**")),
    ],
)
def test_a_short_answer_of_all_turns_stands(
    scripted: Scripted, comprehensive: str, concise: str, expected: tuple[str, str]
) -> None:
    scripted([first("Yes"), refine("Yes"), synthesis(comprehensive, concise)])
    result = ask(max_turns=2)
    assert (result["answer"], result["concise_answer"]) == expected


def test_the_synthesis_may_improve_a_kept_sentence(scripted: Scripted) -> None:
    sentence = "The sky is blue because air scatters blue light more than red light."
    scripted([first(sentence), refine(sentence), synthesis("Air scatters short waves most.", "Scattering")])
    result = ask(max_turns=2)
    assert (result["answer"], result["concise_answer"]) == ("Air scatters short waves most.", "Scattering")


def test_turns_that_differ_leave_the_answer_to_synthesis(scripted: Scripted) -> None:
    scripted([first("Yes"), refine("No", "revise"), synthesis("It is unclear.", "Unclear")])
    assert ask(max_turns=2)["concise_answer"] == "Unclear"
