"""Many runs at once in one process: each ends with its own turns, whatever fails in the others."""

import asyncio
import random
import re
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from llamaberry import graph
from testing.scripted_groq import Reply, Request, Scripted, first, good_model, refine, synthesis

pytestmark = pytest.mark.slow
RUNS = 200
FAULTS = {
    "no capacity": Reply(status=503),
    "rate limit": Reply(status=429, headers={"retry-after": "0.1"}),
    "cut": Reply(first(), cut=3),
    "empty": Reply(""),
    "broken JSON": Reply(first(), garbage=True),
}


class Noisy:
    """A model that answers each question with its number after 100 ms, and fails in one of twenty calls, once each."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.calls: set[tuple[str, int]] = set()

    def __call__(self, request: Request) -> Reply:
        number = request.messages[1]["content"].split("?")[0].removeprefix("What is number ")
        assert set(re.findall(r"<(\d+)>", request.raw.decode())) <= {number}, "another run's turn is in the prompt"
        call = (number, len(request.messages))
        dice = random.Random(repr(call))  # the same faults in whatever order the calls arrive
        if call not in self.calls and dice.random() < 0.05:
            self.faults.append(dice.choice(list(FAULTS)))
            fault = FAULTS[self.faults[-1]]
        else:
            fault = Reply(good_model(request).replace("42", f"<{number}>"))
        self.calls.add(call)
        return Reply(**{**vars(fault), "delay": 0.1})


async def ask(number: int) -> tuple[Any, str]:
    """Run the graph, every other time with its tokens streamed; return the result, and the tokens."""
    question = {"query": f"What is number {number}?"}
    if number % 2:
        return await graph.ainvoke(question), ""
    tokens, state = "", None
    async for mode, part in graph.astream(question, stream_mode=["messages", "values"]):
        if mode == "values":
            state = part
        elif isinstance(part[0], AIMessageChunk):
            tokens += part[0].text
    return state, tokens


async def test_two_hundred_concurrent_runs_survive_their_faults(scripted: Scripted) -> None:
    """Every retry succeeds with one more request, and no run sees another's texts."""
    groq = scripted(noisy := Noisy())
    results = await asyncio.gather(*(ask(number) for number in range(RUNS)))
    for number, (result, tokens) in enumerate(results):
        texts = [text.replace("42", f"<{number}>") for text in (first(), refine(), refine(), synthesis())]
        assert [turn["text"] for turn in result["turns"]] == texts[:3]
        assert [turn["index"] for turn in result["turns"]] == [1, 2, 3]
        assert result["calls"][-1]["text"] == texts[3]
        assert (result["query"], result["concise_answer"]) == (f"What is number {number}?", f"<{number}>")
        assert (result["stop_reason"], result["degraded"]) == ("max_turns", None)
        assert set(re.findall(r"<(\d+)>", tokens)) == ({str(number)} if tokens else set())
        assert bool(tokens) == (number % 2 == 0)
    assert set(noisy.faults) == set(FAULTS)
    assert len(groq.requests) == 4 * RUNS + len(noisy.faults)
    await asyncio.to_thread(groq.wait)
    assert groq.disconnects == 0
