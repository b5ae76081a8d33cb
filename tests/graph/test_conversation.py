"""A thread is a conversation: what the next question sees of it, and how it is edited, forked and resumed."""

import itertools
import json
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.types import StateSnapshot
from typing_extensions import TypedDict

from llamaberry import Context, ModelError, build_graph, graph
from llamaberry.graph.workflow import ReasoningGraph as Graph
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, refine, synthesis

THREAD: Any = {"configurable": {"thread_id": "1"}}
ONE = Context(max_turns=1)
H = HumanMessage


@pytest.fixture
def thread() -> Graph:
    """A graph that keeps its threads."""
    return build_graph(InMemorySaver())


def counted() -> Any:
    """A good model that says in every reply which one it is."""
    count = itertools.count(1)
    return lambda request: f"Reply {next(count)}.\n\n{good_model(request)}"


def conversation(request: Request) -> list[tuple[str, Any]]:
    """What a request says after the system prompt: role and first line (or the parts)."""
    texts = [(m["role"], m["content"]) for m in request.messages[1:]]
    return [(role, text.split("\n")[0] if isinstance(text, str) else text) for role, text in texts]


def unfinished(graph: Graph) -> list[StateSnapshot]:
    """The checkpoints from which the run goes on; after turn n it is the one at n + 1."""
    return [snapshot for snapshot in reversed(list(graph.get_state_history(THREAD))) if snapshot.next]


def test_a_second_question_sees_the_first_and_its_answer_not_its_turns(thread: Graph, scripted: Scripted) -> None:
    """The turns start over; the conversation is kept."""
    groq = scripted([first("secret", steps=[("secret", "")]), refine("secret two"), synthesis("Answer A."), first()])
    thread.invoke({"query": "A"}, THREAD, context=Context(max_turns=2))
    result = thread.invoke({"query": "B"}, THREAD, context=ONE)
    assert conversation(groq.requests[3]) == [("user", "A"), ("assistant", "Answer A."), ("user", "B")]
    assert b"secret" not in groq.requests[3].raw
    assert [(turn["index"], turn["text"]) for turn in result["turns"]] == [(1, first())]
    assert [m.text for m in result["messages"]] == ["A", "Answer A.", "B", "42"]


def test_questions_may_come_by_query_or_by_messages_in_any_order(thread: Graph, groq: ScriptedGroq) -> None:
    """Also the same question again, in either way: each is asked once, in its place."""
    asked = ["A", "B", "B", "C", "C", "C", "A"]
    for place, question in enumerate(asked):
        given = {"query": question} if place in (0, 3, 4, 6) else {"messages": [H(question)]}
        assert thread.invoke(given, THREAD, context=ONE)["query"] == question
        earlier = [said for question in asked[:place] for said in (("user", question), ("assistant", "42"))]
        assert conversation(groq.requests[-1]) == [*earlier, ("user", question)]
    messages = thread.get_state(THREAD).values["messages"]
    assert [m.text for m in messages] == [text for question in asked for text in (question, "42")]


@pytest.mark.parametrize("trimmed", [False, True])
def test_an_old_question_does_not_take_the_place_of_a_new_one(thread: Graph, scripted: Scripted, trimmed: bool) -> None:
    """Where the one by query failed, and where its messages were removed, as hosts do with long threads."""
    groq = scripted([first() if trimmed else Reply(status=401), first()])
    with nullcontext() if trimmed else pytest.raises(ModelError):
        thread.invoke({"query": "A"}, THREAD, context=ONE)
    removed = [RemoveMessage(id=REMOVE_ALL_MESSAGES)] if trimmed else []
    assert thread.invoke({"messages": [*removed, H("B")]}, THREAD, context=ONE)["query"] == "B"
    assert conversation(groq.requests[-1])[-1] == ("user", "B")


@pytest.mark.parametrize("text", ["  ", "x" * 200_001], ids=["blank", "too long"])
def test_a_second_question_is_held_to_the_same_bounds(thread: Graph, groq: ScriptedGroq, text: str) -> None:
    """As on a new thread; and the first question is not asked again in its place."""
    thread.invoke({"query": "A"}, THREAD, context=ONE)
    with pytest.raises(ValueError, match="question"):
        thread.invoke({"messages": [H(text)]}, THREAD, context=ONE)
    assert len(groq.requests) == 1


def test_what_came_before_the_question_is_its_context(thread: Graph, groq: ScriptedGroq) -> None:
    """A host agent's tool calls and a model's thoughts are not sent on; images are."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    said = [
        SystemMessage("The user is Ann."),
        H("hi"),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}]),
        ToolMessage("a tool's result", tool_call_id="1"),
        AIMessage([{"type": "reasoning", "reasoning": "a thought"}, {"type": "text", "text": "hello"}]),
        H([{"type": "text", "text": "What is it?"}, image]),
    ]
    result = thread.invoke({"messages": said}, THREAD, context=Context(max_turns=2))
    assert result["query"] == "What is it?"
    for request in groq.requests:
        assert conversation(request)[:3] == [("system", "The user is Ann."), ("user", "hi"), ("assistant", "hello")]
        assert conversation(request)[3][1][:2] == said[-1].content
        assert {key for m in request.messages for key in m} == {"role", "content"}
        assert b"a thought" not in request.raw
        assert b"a tool's result" not in request.raw
    assert len(result["messages"]) == 7


def test_an_image_sent_before_the_question_reaches_the_model(thread: Graph, groq: ScriptedGroq) -> None:
    """A picture in one message, the question about it in the next."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    thread.invoke({"messages": [H([image]), H("What is it?")]}, THREAD, context=ONE)
    assert b"base64,AAAA" in groq.requests[0].raw


@pytest.mark.parametrize("whole", [True, False])
def test_an_edited_answer_is_what_the_next_turn_reads(thread: Graph, scripted: Scripted, whole: bool) -> None:
    """The turn is replaced, what comes after it is new, and the old branch is still there."""
    groq = scripted(counted())
    before = thread.invoke({"query": "A"}, THREAD)
    old = thread.get_state(THREAD).config
    snapshot = unfinished(thread)[3]
    edit = {**snapshot.values["turns"][1], "answer": "41"} if whole else {"index": 2, "answer": "41"}
    result = thread.invoke(None, thread.update_state(snapshot.config, {"turns": [edit]}))
    assert [len(request.messages) for request in groq.requests[4:]] == [6, 8]
    assert groq.requests[4].messages[:4] == groq.requests[2].messages[:4]
    assert groq.requests[4].messages[4]["content"] == f"Reply 2.\n\n{refine()}\n\n## Answer\n41"
    assert [(turn["index"], turn["answer"]) for turn in result["turns"]] == [(1, "42"), (2, "41"), (3, "42")]
    assert [turn["text"][:8] for turn in result["turns"]] == ["Reply 1.", "Reply 2.", "Reply 5."]
    assert [m.text for m in result["messages"]] == ["A", "The answer is 42."]
    assert thread.get_state(old).values == before


@pytest.mark.parametrize(("turn", "answer"), [(1, "42"), (2, "42"), (2, "41")])
def test_an_edited_text_is_what_the_next_turn_reads(thread: Graph, scripted: Scripted, turn: int, answer: str) -> None:
    """As it was edited: also where the edit states another answer, which nothing contradicts below it."""
    groq = scripted(counted())
    thread.invoke({"query": "A"}, THREAD)
    edited = f"An edit by hand.\n\n## Answer\n{answer}"
    edit = {"turns": [{"index": turn, "text": edited}]}
    result = thread.invoke(None, thread.update_state(unfinished(thread)[turn + 1].config, edit))
    assert conversation(groq.requests[4])[0] == ("user", "A")
    assert groq.requests[4].messages[2 * turn] == {"role": "assistant", "content": edited}
    texts = ["Reply 1.", "An edit ", "Reply 5."] if turn == 2 else ["An edit ", "Reply 5.", "Reply 6."]
    assert [turn["text"][:8] for turn in result["turns"]] == texts


def test_a_run_goes_on_from_every_checkpoint(thread: Graph, groq: ScriptedGroq) -> None:
    """It makes the calls that were still to be made, and comes to the same answer."""
    whole = thread.invoke({"query": "A"}, THREAD)
    for snapshot, calls in zip(unfinished(thread), [4, 4, 3, 2, 1], strict=True):
        groq.requests.clear()
        result = thread.invoke(None, snapshot.config)
        assert len(groq.requests) == calls
        assert [turn["index"] for turn in result["turns"]] == [1, 2, 3]
        assert (result["answer"], len(result["messages"])) == (whole["answer"], 2)


@pytest.mark.parametrize(("node", "pauses"), [("first_turn", 1), ("refine_turn", 2), ("synthesize", 1)])
def test_a_person_may_pause_before_each_node(thread: Graph, groq: ScriptedGroq, node: Any, pauses: int) -> None:
    """And go on with None: no call is made twice."""
    given: Any = {"query": "A"}
    for _ in range(pauses):
        thread.invoke(given, THREAD, interrupt_before=[node])
        assert thread.get_state(THREAD).next == (node,)
        given = None
    result = thread.invoke(None, THREAD)
    assert (result["answer"], len(result["turns"]), len(groq.requests)) == ("The answer is 42.", 3, 4)


def test_the_state_is_plain_json_and_loads_under_strict_msgpack(
    groq: ScriptedGroq, caplog: pytest.LogCaptureFixture
) -> None:
    """No type of ours lies in a checkpoint: a saver that trusts nothing reads it back without a warning."""
    thread = build_graph(InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None)))
    result = thread.invoke({"query": "A"}, THREAD)
    values = thread.get_state(THREAD).values
    assert values == result
    plain = {key: value for key, value in values.items() if key != "messages"}
    assert json.loads(json.dumps(plain)) == plain
    assert len(unfinished(thread)) == 5
    assert caplog.records == []


@dataclass
class HostContext:
    """A host agent's own context, with Llamaberry's settings in it."""

    model: str = "the host's own"
    llamaberry: Context | None = None


class HostState(TypedDict):
    """A host agent that shares no key with us."""

    task: str
    report: str


async def test_a_host_agent_may_ask_from_a_node_of_its_own(groq: ScriptedGroq) -> None:
    """With another state and another context; our nodes show below its own, and nothing is left from last time."""

    async def think(state: HostState) -> Any:
        result = await graph.ainvoke({"query": state["task"]})
        return {"report": f"{result['concise_answer']} in {len(result['turns'])} turns"}

    host = StateGraph(HostState, HostContext).add_node(think).add_edge(START, "think").compile(InMemorySaver())
    for dials, turns in ((Context(max_turns=2), 2), (None, 3)):
        nodes = []
        context = HostContext(llamaberry=dials)
        async for path, part in host.astream(
            {"task": "What is 6 x 7?"}, THREAD, context=context, stream_mode="updates", subgraphs=True
        ):
            nodes += [(len(path), *part)]
        ours = ["first_turn", *["refine_turn"] * (turns - 1), "synthesize"]
        assert nodes == [*((1, node) for node in ours), (0, "think")]
        assert host.get_state(THREAD).values["report"] == f"42 in {turns} turns"
    assert [len(request.messages) for request in groq.requests] == [2, 4, 6, 2, 4, 6, 8]


class Sharing(TypedDict):
    """A host agent that shares our keys."""

    query: str
    messages: Annotated[list[Any], add_messages]
    turns: list[Any]
    answer: str


@pytest.mark.parametrize("own_memory", [None, True], ids=["no memory", "memory of its own"])
@pytest.mark.parametrize("key", ["query", "messages"])
def test_a_host_that_shares_our_keys_never_gets_a_turn_twice(groq: ScriptedGroq, own_memory: Any, key: str) -> None:
    """The graph is a node of it, asked twice on a thread."""
    host: Any = StateGraph(Sharing, HostContext).add_node("think", build_graph(own_memory))
    host = host.add_edge(START, "think").compile(InMemorySaver())
    for question in ("A", "B"):
        given = {"query": question} if key == "query" else {"messages": [H(question)]}
        result = host.invoke(given, THREAD, context=HostContext())
        assert [turn["index"] for turn in result["turns"]] == [1, 2, 3]
        assert (result["query"], result["answer"]) == (question, "The answer is 42.")
    assert [m.text for m in result["messages"]] == ["A", "The answer is 42.", "B", "The answer is 42."]
    earlier = [("user", "A"), ("assistant", "The answer is 42.")]
    assert conversation(groq.requests[4]) == [*earlier, ("user", "B")]
