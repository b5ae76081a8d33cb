"""One run of the graph: its requests to the model, and its result."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from llamaberry import Context, graph
from llamaberry.graph.state import Output
from llamaberry.graph.system_prompt import SYSTEM_PROMPT
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, refine, synthesis

QUESTION = {"query": "What is 6 x 7?"}
FOUR = [first("41"), refine("42", "revise"), refine("42"), synthesis("It is 42.", "42")]


def concise(result: Any) -> tuple[str, str, str | None, int]:
    """Return the parts of a result that are the same in each run."""
    return result["answer"], result["concise_answer"], result["stop_reason"], len(result["turns"])


async def test_three_turns_and_a_synthesis_run_in_order(groq: ScriptedGroq) -> None:
    """The last message of each prompt asks for the step, after the question and all the turns before it."""
    await graph.ainvoke(QUESTION)
    roles = [[m["role"] for m in request.messages] for request in groq.requests]
    assert roles == [["system", "user", *["assistant", "user"] * turns] for turns in range(4)]
    paragraphs = [request.messages[-1]["content"].split(".")[0].split("\n\n") for request in groq.requests]
    repeated = ["The question was:", "What is 6 x 7?"]
    assert paragraphs == [
        ["What is 6 x 7?", "This is the first turn"],
        [*repeated, "This is a refine turn"],
        [*repeated, "This is a refine turn"],
        [*repeated, "This is the synthesis"],
    ]
    assert [m["content"] for m in groq.requests[3].messages if m["role"] == "assistant"] == [
        first(),
        refine(),
        refine(),
    ]


async def test_each_prompt_appends_to_the_one_before(scripted: Scripted) -> None:
    """So that a provider's prefix cache applies: no message is rewritten, not even an untidy reply."""
    untidy = f"\n  {first('41')}\n\nAnd so on.  \n\n"
    groq = scripted([untidy, "No form at all.\r\n", refine("42", "revise"), synthesis()])
    await graph.ainvoke({"messages": [("user", "Call me Ann."), ("ai", "Yes, Ann."), ("user", "What is 6 x 7?")]})
    prompts = [request.messages for request in groq.requests]
    for before, after in itertools.pairwise(prompts):
        assert after[: len(before)] == before
    assert [m["content"] for m in prompts[3] if m["role"] == "system"] == [SYSTEM_PROMPT]


async def test_prompts_append_after_a_host_agents_message(groq: ScriptedGroq) -> None:
    """An agent that passes on its conversation has often written a message after the question."""
    call = {"name": "think", "args": {}, "id": "call_1"}
    await graph.ainvoke({"messages": [HumanMessage("What is 6 x 7?"), AIMessage("I ask.", tool_calls=[call])]})
    prompts = [request.messages for request in groq.requests]
    for before, after in itertools.pairwise(prompts):
        assert after[: len(before)] == before


async def test_a_run_returns_its_answer_and_the_conversation(scripted: Scripted) -> None:
    """One message each for the question and the answer, and no key that the output does not document."""
    scripted(FOUR)
    result = await graph.ainvoke(QUESTION)
    assert set(result) == set(Output.__annotations__)
    assert concise(result) == ("It is 42.", "42", "max_turns", 3)
    assert (result["query"], result["degraded"]) == ("What is 6 x 7?", None)
    assert [(m.type, m.text) for m in result["messages"]] == [("human", "What is 6 x 7?"), ("ai", "It is 42.")]


async def test_a_turn_has_all_its_fields(scripted: Scripted) -> None:
    scripted(FOUR)
    turns = (await graph.ainvoke(QUESTION, context=Context(model="groq:openai/gpt-oss-20b")))["turns"]
    assert [(t["index"], t["kind"], t["verdict"], t["answer"], t["text"]) for t in turns] == [
        (1, "first", None, "41", FOUR[0]),
        (2, "refine", "revise", "42", FOUR[1]),
        (3, "refine", "keep", "42", FOUR[2]),
    ]
    for turn in turns:
        assert turn["steps"] == [
            {"statement": "Read the question.", "explanation": "It asks for one number."},
            {"statement": "Work it out.", "explanation": "Six times seven is 42."},
        ]
        assert (turn["model"], turn["finish_reason"]) == ("groq:openai/gpt-oss-20b", "stop")
        assert turn["seconds"] >= 0
        assert turn["usage"]["total_tokens"] == turn["usage"]["input_tokens"] + turn["usage"]["output_tokens"] > 0
    assert json.loads(json.dumps(turns)) == turns


async def test_with_one_turn_one_call_gives_the_answer(groq: ScriptedGroq) -> None:
    """The single-turn baseline has no synthesis."""
    result = await graph.ainvoke(QUESTION, context=Context(max_turns=1))
    assert concise(result) == ("42", "42", "max_turns", 1)
    assert ([m.text for m in result["messages"]], len(groq.requests)) == (["What is 6 x 7?", "42"], 1)


async def test_ten_turns_take_eleven_calls(groq: ScriptedGroq) -> None:
    result = await graph.ainvoke(QUESTION, context=Context(max_turns=10))
    assert [turn["index"] for turn in result["turns"]] == list(range(1, 11))
    assert (result["stop_reason"], len(groq.requests)) == ("max_turns", 11)


async def test_early_stop_ends_refining_when_two_turns_agree(scripted: Scripted) -> None:
    """In whatever notation the number is; the synthesis still runs."""
    groq = scripted([first("900"), refine("$1,000.00", "revise"), refine("1000"), synthesis()])
    result = await graph.ainvoke(QUESTION, context=Context(max_turns=10, early_stop=True))
    assert (result["stop_reason"], len(result["turns"]), len(groq.requests)) == ("agreement", 3, 4)


async def test_turns_without_an_answer_never_agree(scripted: Scripted) -> None:
    vague = "Hard to say."
    scripted([vague, vague, "## Answer\n42", vague, synthesis()])
    result = await graph.ainvoke(QUESTION, context=Context(max_turns=4, early_stop=True))
    assert [turn["answer"] for turn in result["turns"]] == [None, None, "42", None]
    assert (result["stop_reason"], result["answer"]) == ("max_turns", "The answer is 42.")


USAGE = {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400}


@pytest.mark.parametrize(
    ("settings", "stop_reason", "turns"),
    [
        ({"token_budget": 1}, "budget", 1),
        ({"token_budget": 1200}, "budget", 2),
        ({"token_budget": 1201}, "max_turns", 3),
        ({"deadline_s": 0.001}, "deadline", 1),
        ({"deadline_s": 3600}, "max_turns", 3),
    ],
)
async def test_a_limit_ends_refining_before_the_synthesis(
    scripted: Scripted, settings: dict[str, Any], stop_reason: str, turns: int
) -> None:
    """The token budget counts the tokens of prompts and replies, those of the check too."""

    def model(request: Request) -> Reply:
        return Reply(good_model(request), usage=USAGE, delay=0.005)

    groq = scripted(model, model)
    result = await graph.ainvoke(QUESTION, context=Context(**settings))
    assert concise(result) == ("The answer is 42.", "42", stop_reason, turns)
    assert len(groq.requests) == turns + 1


def reasoning_model(request: Request) -> Reply:
    """Reply with thoughts both in `<think>` and in the reply's field `reasoning`."""
    return Reply(f"<think>A secret thought.</think>\n{good_model(request)}", reasoning="Another secret thought.")


async def test_streaming_does_not_change_the_usage(scripted: Scripted) -> None:
    """Cached tokens and reasoning tokens are in both."""
    scripted(reasoning_model)
    result = await graph.ainvoke(QUESTION)
    groq = scripted(reasoning_model)
    stream_result, pieces = {}, 0
    async for mode, part in graph.astream(QUESTION, stream_mode=["messages", "values"]):
        if mode == "values":
            stream_result = part
        else:
            pieces += isinstance(part[0], AIMessageChunk)
    assert all(request.body["stream"] for request in groq.requests)
    assert pieces > 20
    for run in (result, stream_result):
        for turn in run["turns"]:
            turn["seconds"] = 0
    assert stream_result["turns"] == result["turns"]
    details = [(t["usage"].get("input_token_details"), t["usage"]["output_token_details"]) for t in result["turns"]]
    assert details[0] == (None, {"reasoning": 3})
    assert details[1][0]["cache_read"] > 0
    usages = [[call["usage"] for call in run["calls"]] for run in (result, stream_result)]
    assert usages[0] == usages[1]
    assert all(usages[0])


async def test_thoughts_are_in_no_text_and_no_prompt(scripted: Scripted) -> None:
    groq = scripted(reasoning_model)
    result = await graph.ainvoke(QUESTION)
    assert "secret" not in json.dumps([result["turns"], result["answer"], result["concise_answer"]])
    assert "secret" not in repr(result["messages"])
    assert not any(b"secret" in request.raw for request in groq.requests)


async def test_the_settings_are_in_every_request(groq: ScriptedGroq) -> None:
    """The model, its temperature, its maximum number of tokens and the system prompt."""
    settings = Context(model="groq:some/model", temperature=0.25, max_tokens=777, system_prompt="Be brief.")
    await graph.ainvoke(QUESTION, context=settings)
    assert len(groq.requests) == 4
    for request in groq.requests:
        body = request.body
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("some/model", 0.25, 777)
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("context", [{"max_turns": 2}, Context(max_turns=2), None], ids=["dict", "Context", "None"])
async def test_the_context_can_be_a_dict_a_context_or_none(groq: ScriptedGroq, context: Any) -> None:
    """None gives the documented defaults."""
    await graph.ainvoke(QUESTION, context=context)
    assert len(groq.requests) == (3 if context else 4)
    body = groq.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("openai/gpt-oss-120b", 0.7, 2048)


def test_invoke_and_ainvoke_do_the_same(scripted: Scripted) -> None:
    """The same requests and the same result, also in a second event loop."""
    results, requests = [], []
    for run in (graph.invoke, *[lambda question: asyncio.run(graph.ainvoke(question))] * 2):
        groq = scripted(FOUR)
        result = run(QUESTION)
        for turn in result["turns"]:
            turn["seconds"] = 0
        results.append((concise(result), result["turns"]))
        requests.append([request.body for request in groq.requests])
    assert results[0] == results[1] == results[2]
    assert requests[0] == requests[1] == requests[2]


def test_two_event_loops_in_one_process_share_no_connection() -> None:
    """Although connections are kept alive, nothing is sent twice. A separate process closes them at its end."""
    run = "asyncio.run(graph.ainvoke({'query': 'What is 6 x 7?'}))"
    code = f"import asyncio; from llamaberry import graph; {run}; {run}"
    with ScriptedGroq() as groq:
        environment = {**os.environ, "GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq.url}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert len(groq.requests) == 8


def echo(request: Request) -> str:
    """Answer with the question, like a good model."""
    return good_model(request).replace("42", request.messages[1]["content"].split("?")[0])


async def test_a_hundred_concurrent_runs_share_no_turn(scripted: Scripted) -> None:
    groq = scripted(echo)
    runs = (graph.ainvoke({"query": f"Q{n}?"}, context={"max_turns": 2}) for n in range(100))
    results = await asyncio.gather(*runs)
    assert [result["concise_answer"] for result in results] == [f"Q{n}" for n in range(100)]
    assert [[turn["answer"] for turn in r["turns"]] for r in results] == [[f"Q{n}"] * 2 for n in range(100)]
    assert len(groq.requests) == 300


def test_threads_can_share_the_graph(scripted: Scripted) -> None:
    scripted(echo)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: graph.invoke({"query": f"Q{n}?"}), range(24)))
    assert [result["concise_answer"] for result in results] == [f"Q{n}" for n in range(24)]
    assert [[turn["answer"] for turn in r["turns"]] for r in results] == [[f"Q{n}"] * 3 for n in range(24)]
