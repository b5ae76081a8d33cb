"""The record of each model call, and the totals of a run."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.checkpoint.memory import InMemorySaver

from llamaberry import Context, build_graph
from llamaberry.graph.calls import NO_USAGE, Call, add_calls, call_cost_usd, keep_calls, stored_calls, total
from llamaberry.graph.turn import Turn
from testing.scripted_groq import Reply, Scripted, first, refine, synthesis

MODEL = "groq:openai/gpt-oss-120b"
THREAD: Any = {"configurable": {"thread_id": "T"}}


def count(prompt: int, cached: int, output: int) -> UsageMetadata:
    tokens = UsageMetadata(input_tokens=prompt, output_tokens=output, total_tokens=prompt + output)
    return {**tokens, "input_token_details": {"cache_read": cached}} if cached else tokens


def call(step: str = "refine_turn 2", model: str = MODEL, usage: UsageMetadata | None = None) -> Call:
    return Call(step=step, model=model, usage=usage, seconds=1.5, finish_reason="stop")


FIRST = call("first_turn", usage=count(100, 0, 10))
REFINE = call(usage=count(300, 200, 20))
UNCOUNTED = call("refine_turn 3")


def test_totals_are_the_sums_of_the_calls() -> None:
    assert total([FIRST, REFINE]) == {
        "calls": 2,
        "input_tokens": 400,
        "cached_tokens": 200,
        "output_tokens": 30,
        "reasoning_tokens": 0,
        "total_tokens": 430,
        "seconds": 3.0,
        "cost_usd": pytest.approx((200 * 0.15 + 200 * 0.075 + 30 * 0.60) / 10**6),
    }
    assert total([]) == NO_USAGE


def test_adding_calls_equals_the_total_of_all() -> None:
    calls = [FIRST, REFINE, UNCOUNTED]
    assert add_calls(total(calls[:1]), calls[1:]) == total(calls)


def test_a_call_without_usage_adds_time_but_no_tokens() -> None:
    usage = total([FIRST, UNCOUNTED])
    assert (usage["calls"], usage["total_tokens"], usage["seconds"], usage["cost_usd"]) == (2, 110, 3.0, None)


def test_an_unknown_cost_stays_unknown() -> None:
    assert add_calls(total([UNCOUNTED]), [FIRST])["cost_usd"] is None


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        (MODEL, count(1_000_000, 0, 0), 0.15),
        (MODEL, count(1_000_000, 1_000_000, 0), 0.075),
        (MODEL, count(0, 0, 1_000_000), 0.60),
        (MODEL, count(1_000_000, 400_000, 100_000), 0.09 + 0.03 + 0.06),
        (MODEL, count(1_000_000, 2_000_000, 0), 0.075),
        (MODEL, None, None),
        ("local:qwen2.5-coder-1.5b-instruct", count(1000, 0, 100), 0),
        ("local:qwen2.5-coder-1.5b-instruct", None, 0),
        ("groq:no/such-model", count(1000, 0, 100), None),
        ("nobody:no-model", count(1000, 0, 100), None),
    ],
)
def test_a_call_costs_its_list_price(model: str, usage: UsageMetadata | None, cost: float | None) -> None:
    """0 for the local model; None if the price or the number of tokens is unknown."""
    assert call_cost_usd(call(model=model, usage=usage)) == (None if cost is None else pytest.approx(cost))


def test_calls_are_added_to_the_stored_ones() -> None:
    assert keep_calls([FIRST], [REFINE]) == [FIRST, REFINE]
    assert keep_calls([FIRST], []) == [FIRST]


def test_the_call_of_a_first_turn_starts_over() -> None:
    assert keep_calls([FIRST, REFINE], [FIRST]) == [FIRST]


def old_turn(index: int) -> Turn:
    return Turn(
        index=index, kind="first" if index == 1 else "refine", text=first(), steps=[], verdict=None, answer="42",
        model=MODEL, usage=count(100 * index, 0, 10), seconds=1.5, finish_reason="stop",
    )  # fmt: skip


def old_state(**values: Any) -> dict[str, Any]:
    """Return a state as version 0.1.0 stored it, without `calls` and `usage`."""
    state = {"query": "Q", "messages": [HumanMessage("Q")], "turns": [old_turn(1), old_turn(2)]}
    return {**state, "answer": "", "concise_answer": "", "stop_reason": None, "degraded": None, **values}


OLD_ANSWER = AIMessage(
    "It is 42.",
    usage_metadata=count(400, 300, 40),
    response_metadata={"text": synthesis(), "model": MODEL, "seconds": 2.5, "finish_reason": "length"},
)


def test_calls_of_version_0_1_0_are_those_of_turns_and_answer() -> None:
    calls = stored_calls(old_state(messages=[HumanMessage("Q"), OLD_ANSWER], answer="It is 42."))
    assert [(call["step"], call["model"], call["seconds"]) for call in calls] == [
        ("first_turn", MODEL, 1.5),
        ("refine_turn 2", MODEL, 1.5),
        ("synthesize", MODEL, 2.5),
    ]
    assert [call["usage"] for call in calls] == [count(100, 0, 10), count(200, 0, 10), count(400, 300, 40)]
    assert (calls[-1]["finish_reason"], calls[-1]["text"]) == ("length", synthesis())


@pytest.mark.parametrize(
    "values",
    [{}, {"messages": [HumanMessage("Q"), AIMessage("42")], "answer": "42"}, {"messages": [OLD_ANSWER]}],
    ids=["interrupted", "no synthesis", "an earlier question's answer"],
)
def test_version_0_1_0_without_a_synthesis_has_no_such_call(values: dict[str, Any]) -> None:
    assert [call["step"] for call in stored_calls(old_state(**values))] == ["first_turn", "refine_turn 2"]


def test_stored_calls_of_a_newer_state_are_returned() -> None:
    assert stored_calls(old_state(calls=[FIRST])) == [FIRST]
    assert stored_calls({}) == []


def test_a_thread_of_version_0_1_0_keeps_its_calls() -> None:
    thread = build_graph(InMemorySaver())
    thread.update_state(THREAD, old_state(), as_node="refine_turn")
    assert len(stored_calls(thread.get_state(THREAD).values)) == 2


def replies() -> list[Reply]:
    """Return the replies of a run of two turns, with the tokens that they report."""
    texts = [first(), refine(), synthesis()]
    tokens = [(100, 0, 10), (300, 200, 20), (600, 500, 30)]
    return [Reply(text, usage=groq_usage(*numbers)) for text, numbers in zip(texts, tokens, strict=True)]


def groq_usage(prompt: int, cached: int, output: int) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    return {**usage, "prompt_tokens_details": {"cached_tokens": cached}}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["invoke", "ainvoke"])
def test_a_run_records_what_the_provider_reported(scripted: Scripted, asynchronous: bool) -> None:
    """A second question on the thread starts over."""
    thread, context = build_graph(InMemorySaver()), Context(max_turns=2, verify="none")
    for question in ("A", "B"):
        scripted(replies())
        if asynchronous:
            result: Any = asyncio.run(thread.ainvoke({"query": question}, THREAD, context=context))
        else:
            result = thread.invoke({"query": question}, THREAD, context=context)
        calls, usage = result["calls"], result["usage"]
        assert [(call["step"], call["model"], call["finish_reason"]) for call in calls] == [
            (step, MODEL, "stop") for step in ("first_turn", "refine_turn 2", "synthesize")
        ]
        assert [call["usage"]["input_tokens"] for call in calls] == [100, 300, 600]
        assert [call["usage"]["input_token_details"]["cache_read"] for call in calls[1:]] == [200, 500]
        assert [call["usage"]["output_tokens"] for call in calls] == [10, 20, 30]
        assert [call.get("text") for call in calls] == [None, None, synthesis()]
        assert usage == total(calls)
        assert (usage["calls"], usage["input_tokens"], usage["cached_tokens"]) == (3, 1000, 700)
        assert (usage["output_tokens"], usage["total_tokens"]) == (60, 1060)
        assert usage["cost_usd"] == pytest.approx((300 * 0.15 + 700 * 0.075 + 60 * 0.60) / 10**6)
