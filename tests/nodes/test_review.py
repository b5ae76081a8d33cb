"""Reviews by a person: when a run pauses, and what each decision changes."""

import json
import os
import subprocess
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from llamaberry import Context, SetupError, as_tool, build_graph
from testing.command import COMMAND, LIMIT_S, llamaberry, running_command, usage_error
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, refine, synthesis

CONFIG: Any = {"configurable": {"thread_id": "T"}}
SCRIPT = [first("41"), refine("42", "revise"), refine("42"), synthesis()]


class Reviewed:
    """A run with these decisions: the values of its pauses, and its result."""

    def __init__(self, *decisions: Any, **settings: Any) -> None:
        graph = build_graph(InMemorySaver())
        context = Context(**settings)
        self.pauses: list[dict[str, Any]] = []
        self.result: Any = graph.invoke({"query": "Q"}, CONFIG, context=context)
        for decision in decisions:
            (pause,) = self.result["__interrupt__"]
            self.pauses.append(pause.value)
            self.result = graph.invoke(Command(resume=decision), CONFIG, context=context)
        assert "__interrupt__" not in self.result


def user_messages(groq: ScriptedGroq, request: int = -1) -> list[str]:
    return [message["content"] for message in groq.requests[request].messages if message["role"] == "user"]


def test_a_review_of_each_turn_shows_the_turn(scripted: Scripted) -> None:
    scripted(SCRIPT)
    run = Reviewed("continue", {"action": "continue"}, "continue", review="each_turn")
    assert [(pause["turn"]["index"], pause["next"]) for pause in run.pauses] == [
        (1, "refine_turn"),
        (2, "refine_turn"),
        (3, "synthesize"),
    ]
    assert all(pause["question"] == "Q" and pause["problem"] is None for pause in run.pauses)
    assert list(run.pauses[0]["reply"]) == ["action", "hint", "answer"]
    assert run.result["concise_answer"] == "42"
    assert [turn["index"] for turn in run.result["turns"]] == [1, 2, 3]


def test_a_review_can_be_before_the_synthesis_only(scripted: Scripted) -> None:
    scripted(SCRIPT)
    run = Reviewed("continue", review="before_synthesis")
    assert [(pause["turn"]["index"], pause["next"]) for pause in run.pauses] == [(3, "synthesize")]


def test_without_a_review_nothing_pauses(scripted: Scripted) -> None:
    scripted(SCRIPT)
    assert Reviewed().result["stop_reason"] == "max_turns"


def test_stop_goes_straight_to_the_synthesis(scripted: Scripted) -> None:
    groq = scripted([first("41"), synthesis("It is 41.", "41")])
    run = Reviewed("stop", review="each_turn")
    assert (run.result["stop_reason"], run.result["answer"]) == ("review", "It is 41.")
    assert len(groq.requests) == 2


def test_a_hint_is_in_all_later_prompts(scripted: Scripted) -> None:
    groq = scripted(SCRIPT)
    run = Reviewed({"hint": "Count the zero."}, "continue", "continue", review="each_turn")
    assert "Count the zero." in user_messages(groq, 1)[-1]
    assert "Count the zero." in user_messages(groq, 3)[1]
    assert sum("Count the zero." in text for text in user_messages(groq, 3)) == 1
    assert run.result["turns"][0]["hint"] == "Count the zero."


def test_a_hint_is_appended_to_that_of_a_verify_node(scripted: Scripted) -> None:
    groq = scripted([first("41"), refine("42"), synthesis()])
    graph = build_graph(InMemorySaver(), nodes={"verify": lambda state: {"turns": [{"index": 1, "hint": "Checked."}]}})
    context = Context(max_turns=2, review="each_turn")
    graph.invoke({"query": "Q"}, CONFIG, context=context)
    graph.invoke(Command(resume={"hint": "Count the zero."}), CONFIG, context=context)
    assert "Checked.\nCount the zero." in user_messages(groq, 1)[-1]


def test_a_hint_with_a_stop_survives_a_verify_node(scripted: Scripted) -> None:
    """The node does not run again: after a stop or a failed call there is no new turn to check."""
    groq = scripted([first("41"), synthesis()])
    indexes = []

    def verify(state: Any) -> Any:
        indexes.append(len(state["turns"]))
        return {"turns": [{"index": 1, "hint": "Checked."}]}

    graph = build_graph(InMemorySaver(), nodes={"verify": verify})
    context = Context(review="each_turn")
    graph.invoke({"query": "Q"}, CONFIG, context=context)
    result = graph.invoke(Command(resume={"action": "stop", "hint": "In Latin."}), CONFIG, context=context)
    assert indexes == [1]
    assert "Checked.\nIn Latin." in user_messages(groq)[-1]
    assert result["stop_reason"] == "review"


def test_a_review_without_a_checkpointer_is_an_error(scripted: Scripted) -> None:
    """Before the first model call."""
    groq = scripted([])
    with pytest.raises(SetupError, match="needs a checkpointer"):
        build_graph().invoke({"query": "Q"}, context=Context(review="each_turn"))
    with pytest.raises(SetupError, match="needs a checkpointer"):
        as_tool(Context(review="before_synthesis")).invoke({"question": "Q"})
    assert groq.requests == []


def test_a_subgraph_pauses_with_its_parents_checkpointer(scripted: Scripted) -> None:
    scripted([first("41"), synthesis("It is 41.", "41")])
    builder = StateGraph(MessagesState, context_schema=Context)
    builder.add_node("reason", build_graph())
    builder.add_edge(START, "reason")
    agent: Any = builder.compile(InMemorySaver())
    context = Context(review="each_turn")
    result = agent.invoke({"messages": [("user", "Q")]}, CONFIG, context=context)
    assert result["__interrupt__"][0].value["turn"]["answer"] == "41"
    assert agent.invoke(Command(resume=" STOP "), CONFIG, context=context)["messages"][-1].text == "It is 41."


def test_a_hint_before_the_synthesis_is_in_its_prompt(scripted: Scripted) -> None:
    groq = scripted(SCRIPT)
    Reviewed({"hint": "Write it in Latin."}, review="before_synthesis")
    assert "Write it in Latin." in user_messages(groq)[-1]


def test_an_edited_answer_replaces_the_turns_answer(scripted: Scripted) -> None:
    groq = scripted([first("41"), refine("43"), synthesis("It is 43.", "43")])
    run = Reviewed({"answer": "43"}, "continue", review="each_turn", max_turns=2)
    assert [turn["answer"] for turn in run.result["turns"]] == ["43", "43"]
    replies = [message["content"] for message in groq.requests[1].messages if message["role"] == "assistant"]
    assert replies[0].endswith("## Answer\n43")


def test_a_decision_can_edit_and_stop(scripted: Scripted) -> None:
    scripted([first("41"), Reply(status=400)])
    run = Reviewed({"action": "stop", "answer": "40"}, review="each_turn")
    assert run.result["concise_answer"] == "40"


INVALID: list[Any] = ["perhaps", {"action": "go"}, {"hints": "x"}, {"answer": " "}, 7, ["stop"], {"hint": 5}]


@pytest.mark.parametrize("decision", INVALID)
def test_an_invalid_decision_is_asked_for_again(scripted: Scripted, decision: Any) -> None:
    """With the problem; no call is lost or repeated."""
    groq = scripted([first("41"), refine("42", "revise"), synthesis()])
    run = Reviewed(decision, decision, "continue", "continue", review="each_turn", max_turns=2)
    problems = [pause["problem"] for pause in run.pauses]
    assert problems[0] is None
    assert problems[1]
    assert problems[2] == problems[1]
    assert problems[3] is None
    assert len(groq.requests) == 3


def test_a_retry_does_not_pause_again(scripted: Scripted) -> None:
    groq = scripted([first("41"), Reply(status=503), refine("42", "revise"), synthesis()])
    run = Reviewed({"hint": "H"}, "continue", review="each_turn", max_turns=2)
    assert len(run.pauses) == 2
    assert "H" in user_messages(groq, 2)[-1]


def test_an_edit_survives_a_failed_turn(scripted: Scripted) -> None:
    scripted([first("41"), Reply(status=400, error="No luck")])
    run = Reviewed({"answer": "40"}, review="each_turn")
    assert (run.result["stop_reason"], run.result["concise_answer"]) == ("error", "40")


async def test_an_asynchronous_review_emits_its_events(scripted: Scripted) -> None:
    scripted([first("41"), synthesis("It is 41.", "41")])
    graph = build_graph(InMemorySaver())
    context = Context(review="each_turn")
    events = []
    for graph_input in ({"query": "Q"}, Command(resume="stop")):
        events += [
            (part["type"], part.get("turn") or part.get("reason"))
            async for part in graph.astream(graph_input, CONFIG, context=context, stream_mode="custom")
        ]
    check = [("check_started", 1), ("check_finished", 1)]
    assert events == [("turn_started", 1), ("turn_finished", 1), *check, ("refining_ended", "review")]


def test_ask_review_repeats_the_prompt_until_the_reply_is_valid(scripted: Scripted) -> None:
    groq = scripted(SCRIPT)
    run = llamaberry("ask", "Q", "--review", "--show", "full", stdin="what?\nh count the zero\n\na 43\n")
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("── review of turn") == 3
    assert run.stderr.count("[Enter] continue") == 4
    assert "count the zero" in user_messages(groq, 1)[-1]
    assert run.stdout.count("turn 2 ·") == 1
    assert "── answer ──\nThe answer is 42.\n" in run.stdout


def test_resume_continues_a_review(scripted: Scripted) -> None:
    groq = scripted([first("41"), synthesis("It is 41.", "41")])
    ask = llamaberry("ask", "Q", "--review", "--thread", "T", "-q", stdin="")
    assert (ask.returncode, ask.stdout) == (130, "41\n")  # the answer so far
    assert "llamaberry resume T" in ask.stderr
    resume = llamaberry("resume", "T", "-q", stdin="s\n")
    assert (resume.returncode, resume.stdout) == (0, "It is 41.\n")
    assert len(groq.requests) == 2


def test_a_late_decision_does_not_reach_the_next_turn(scripted: Scripted) -> None:
    """Another process has replied to the pause in the meantime, and the run waits at the next one."""
    scripted([first("41"), refine("42"), refine("42"), synthesis()])
    with running_command("ask", "Q", "--review", "--thread", "T", stdin=subprocess.PIPE) as slow:
        assert slow.stderr
        while not slow.stderr.readline().startswith("── review of turn 1"):
            assert slow.poll() is None
        llamaberry("resume", "T", stdin="\n")  # as far as the review of turn 2
        _, stderr = slow.communicate("a 99\n", timeout=LIMIT_S)
    assert "review of turn 2" in stderr
    answers = json.loads(llamaberry("resume", "T", "--json", stdin="\n" * 3).stdout)["turns"]
    assert [turn["answer"] for turn in answers] == ["41", "42", "42"]


def test_a_decision_that_is_not_utf8_is_asked_for_again(scripted: Scripted) -> None:
    scripted([first("41"), synthesis("It is 41.", "41")])
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    command = [*COMMAND, "ask", "-q", "Q", "--review"]
    run = subprocess.run(command, input=b"h caf\xe9\ns\n", capture_output=True, env=strict, timeout=LIMIT_S)
    assert (run.returncode, b"Traceback" in run.stderr) in {(0, False), (130, False)}


def test_a_review_cannot_read_decisions_after_the_question(scripted: Scripted) -> None:
    scripted([])
    assert "--review reads decisions" in usage_error("ask", "-", "--review", stdin="Q")


def test_a_review_needs_stored_threads(scripted: Scripted) -> None:
    scripted([])
    assert "LLAMABERRY_CHECKPOINTS is none" in usage_error("ask", "Q", "--review", LLAMABERRY_CHECKPOINTS="none")
