"""`stream_events` and `astream_events`, a run as typed events; and the ids in the stream mode "messages"."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, closing
from itertools import groupby
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llamaberry import Context, ModelError, Output, astream_events, build_graph, graph, stream_events
from testing.scripted_groq import Reply, Scripted, first, refine, synthesis

QUESTION = {"query": "What is 6 x 7?"}


async def collect(events: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in events]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_is_its_events_its_tokens_and_its_output(scripted: Scripted, asynchronous: bool) -> None:
    scripted([first("41"), refine("42", "revise"), synthesis()])
    settings = Context(max_turns=2, verify="none")
    if asynchronous:
        events = asyncio.run(collect(astream_events(graph, QUESTION, context=settings)))
    else:
        events = list(stream_events(graph, QUESTION, context=settings))
    assert [kind for kind, _ in groupby(event["type"] for event in events)] == [
        *["turn_started", "token", "turn_finished"] * 2,
        *["refining_ended", "token", "run_finished"],
    ]
    output: Output = events[-1]["output"]
    assert set(output) == set(Output.__annotations__)
    for turn in output["turns"]:
        tokens = [event for event in events if event["type"] == "token" and event["turn"] == turn["index"]]
        assert "".join(token["text"] for token in tokens) == turn["text"]
        assert {(token["step"], token["attempt"]) for token in tokens} == {(f"turn {turn['index']}", 1)}


def test_tokens_of_a_retry_and_of_the_other_calls_are_named(scripted: Scripted) -> None:
    scripted([first(), Reply(refine(), cut=3), refine(), synthesis()])
    events = list(stream_events(graph, QUESTION, context=Context(max_turns=2)))
    tokens = [(event["step"], event["turn"], event["attempt"]) for event in events if event["type"] == "token"]
    assert [name for name, _ in groupby(tokens)] == [
        ("turn 1", 1, 1),
        ("check", None, 1),
        ("turn 2", 2, 1),
        ("turn 2, attempt 2", 2, 2),
        ("synthesis", None, 1),
    ]


def test_a_reply_that_is_not_streamed_is_one_token() -> None:
    replies = [first("41"), refine("42", "revise"), synthesis()]
    model = GenericFakeChatModel(messages=iter(map(AIMessage, replies)), disable_streaming=True)
    settings = Context(max_turns=2, verify="none")
    events = list(stream_events(build_graph(model=model), QUESTION, context=settings))
    assert [event["text"] for event in events if event["type"] == "token"] == replies


def test_a_review_pauses_the_run_and_a_decision_resumes_it(scripted: Scripted) -> None:
    scripted()
    reviewed, thread = build_graph(InMemorySaver()), {"configurable": {"thread_id": "T"}}
    settings = Context(review="each_turn", max_turns=2)
    pause = list(stream_events(reviewed, QUESTION, thread, context=settings))[-1]
    assert pause["type"] == "run_paused"
    assert pause["interrupts"][0].value["turn"]["answer"] == "42"
    end = list(stream_events(reviewed, Command(resume="stop"), thread, context=settings))[-1]
    assert end["type"] == "run_finished"
    assert end["output"]["stop_reason"] == "review"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_leaving_early_closes_the_connection_and_ends_the_run(scripted: Scripted, asynchronous: bool) -> None:
    groq = scripted(lambda _request: Reply(first(), chunk_delay=0.05))

    async def leave() -> None:
        async with aclosing(astream_events(graph, QUESTION)) as events:
            async for event in events:
                if event["type"] == "token":
                    return

    if asynchronous:
        asyncio.run(leave())
    else:
        with closing(stream_events(graph, QUESTION)) as events:
            next(event for event in events if event["type"] == "token")
    groq.wait()
    assert len(groq.requests) == 1


def test_a_failed_run_raises(scripted: Scripted) -> None:
    scripted([Reply(status=400, error="No luck")])
    with pytest.raises(ModelError, match="No luck"):
        list(stream_events(graph, QUESTION))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: model.bind().with_retry()])
def test_the_ids_of_replies_alone_begin_as_front_ends_hide_them(wrap: Callable[[Any], Any], streamed: bool) -> None:
    replies = [first("41"), refine("42", "revise"), synthesis()]
    model = GenericFakeChatModel(messages=iter(map(AIMessage, replies)), disable_streaming=not streamed)
    hidden, shown = defaultdict(str), {}
    settings = Context(max_turns=2, verify="none")
    for message, metadata in build_graph(model=wrap(model)).stream(QUESTION, context=settings, stream_mode="messages"):
        if "attempt" in metadata:
            hidden[message.id] += message.text
        else:
            shown[message.id] = message.text
    assert list(hidden.values()) == replies
    assert list(shown.values()) == [QUESTION["query"], "The answer is 42."]
    assert all(name.startswith("do-not-render-") for name in hidden)
    assert not any(name.startswith("do-not-render-") for name in shown)
