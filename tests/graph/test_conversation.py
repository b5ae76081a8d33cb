"""Threads: what the next question sees, and how a thread is edited, forked, resumed and embedded in a host graph."""

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
    """Return a graph that stores its threads."""
    return build_graph(InMemorySaver())


def numbered_replies() -> Any:
    """Return a good model that numbers its replies."""
    count = itertools.count(1)
    return lambda request: f"Reply {next(count)}.\n\n{good_model(request)}"


def conversation(request: Request) -> list[tuple[str, Any]]:
    """Return a request's messages after the system prompt: role and first line (or the parts)."""
    texts = [(m["role"], m["content"]) for m in request.messages[1:]]
    return [(role, text.split("\n")[0] if isinstance(text, str) else text) for role, text in texts]


def unfinished(graph: Graph) -> list[StateSnapshot]:
    """Return the checkpoints that have a next node, oldest first; the one after turn n is at n + 1."""
    return [snapshot for snapshot in reversed(list(graph.get_state_history(THREAD))) if snapshot.next]


def test_a_second_question_sees_earlier_answers_but_no_turns(thread: Graph, scripted: Scripted) -> None:
    groq = scripted([first("secret", steps=[("secret", "")]), refine("secret two"), synthesis("Answer A."), first()])
    thread.invoke({"query": "A"}, THREAD, context=Context(max_turns=2))
    result = thread.invoke({"query": "B"}, THREAD, context=ONE)
    assert conversation(groq.requests[3]) == [("user", "A"), ("assistant", "Answer A."), ("user", "B")]
    assert b"secret" not in groq.requests[3].raw
    assert [(turn["index"], turn["text"]) for turn in result["turns"]] == [(1, first())]
    assert [m.text for m in result["messages"]] == ["A", "Answer A.", "B", "42"]


def test_query_and_messages_can_alternate_on_a_thread(thread: Graph, groq: ScriptedGroq) -> None:
    """The same question may also be asked again."""
    questions = ["A", "B", "B", "C", "C", "C", "A"]
    for position, question in enumerate(questions):
        graph_input = {"query": question} if position in (0, 3, 4, 6) else {"messages": [H(question)]}
        assert thread.invoke(graph_input, THREAD, context=ONE)["query"] == question
        earlier = [message for text in questions[:position] for message in (("user", text), ("assistant", "42"))]
        assert conversation(groq.requests[-1]) == [*earlier, ("user", question)]
    messages = thread.get_state(THREAD).values["messages"]
    assert [m.text for m in messages] == [text for question in questions for text in (question, "42")]


@pytest.mark.parametrize("trimmed", [False, True])
def test_an_old_query_does_not_replace_a_new_question(thread: Graph, scripted: Scripted, trimmed: bool) -> None:
    """Neither after the old query's run failed, nor after a host removed the messages of a long thread."""
    groq = scripted([first() if trimmed else Reply(status=401), first()])
    with nullcontext() if trimmed else pytest.raises(ModelError):
        thread.invoke({"query": "A"}, THREAD, context=ONE)
    removals = [RemoveMessage(id=REMOVE_ALL_MESSAGES)] if trimmed else []
    assert thread.invoke({"messages": [*removals, H("B")]}, THREAD, context=ONE)["query"] == "B"
    assert conversation(groq.requests[-1])[-1] == ("user", "B")


@pytest.mark.parametrize("text", ["  ", "x" * 200_001], ids=["blank", "too long"])
def test_a_second_question_has_the_same_limits(thread: Graph, groq: ScriptedGroq, text: str) -> None:
    """As on a new thread; and the first question is not asked again in its place."""
    thread.invoke({"query": "A"}, THREAD, context=ONE)
    with pytest.raises(ValueError, match="question"):
        thread.invoke({"messages": [H(text)]}, THREAD, context=ONE)
    assert len(groq.requests) == 1


def test_earlier_messages_are_the_context_of_the_question(thread: Graph, groq: ScriptedGroq) -> None:
    """Images are sent to the model; a host agent's tool calls and a model's thoughts are not."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [
        SystemMessage("The user is Ann."),
        H("hi"),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}]),
        ToolMessage("a tool's result", tool_call_id="1"),
        AIMessage(
            [{"type": "reasoning", "reasoning": "a thought"}, {"type": "text", "text": "<think>a thought</think>hello"}]
        ),
        H([{"type": "text", "text": "What is it?"}, image]),
    ]
    result = thread.invoke({"messages": messages}, THREAD, context=Context(max_turns=2))
    assert result["query"] == "What is it?"
    for request in groq.requests:
        assert conversation(request)[:3] == [("system", "The user is Ann."), ("user", "hi"), ("assistant", "hello")]
        assert conversation(request)[3][1][:2] == messages[-1].content
        assert {key for m in request.messages for key in m} == {"role", "content"}
        assert b"a thought" not in request.raw
        assert b"a tool's result" not in request.raw
    assert len(result["messages"]) == 7


def test_an_image_sent_before_the_question_reaches_the_model(thread: Graph, groq: ScriptedGroq) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    thread.invoke({"messages": [H([image]), H("What is it?")]}, THREAD, context=ONE)
    assert b"base64,AAAA" in groq.requests[0].raw


@pytest.mark.parametrize("whole", [True, False], ids=["whole turn", "the answer alone"])
def test_an_edited_answer_is_what_the_next_turn_reads(thread: Graph, scripted: Scripted, whole: bool) -> None:
    """The turn is replaced, later turns are new, and the old branch is unchanged."""
    groq = scripted(numbered_replies())
    before = thread.invoke({"query": "A"}, THREAD)
    old = thread.get_state(THREAD).config
    snapshot = unfinished(thread)[4]
    edit = {**snapshot.values["turns"][1], "answer": "41"} if whole else {"index": 2, "answer": "41"}
    result = thread.invoke(None, thread.update_state(snapshot.config, {"turns": [edit]}))
    assert [len(request.messages) for request in groq.requests[4:]] == [6, 8]
    assert groq.requests[4].messages[:4] == groq.requests[2].messages[:4]
    assert groq.requests[4].messages[4]["content"] == f"Reply 2.\n\n{refine()}\n\n## Answer\n41"
    assert [(turn["index"], turn["answer"]) for turn in result["turns"]] == [(1, "42"), (2, "41"), (3, "42")]
    assert [turn["text"][:8] for turn in result["turns"]] == ["Reply 1.", "Reply 2.", "Reply 5."]
    assert [m.text for m in result["messages"]] == ["A", "The answer is 42."]
    assert thread.get_state(old).values == {**before, "to_check": False, "to_structure": None}


@pytest.mark.parametrize(("turn", "answer"), [(1, "42"), (2, "42"), (2, "41")])
def test_an_edited_text_is_what_the_next_turn_reads(thread: Graph, scripted: Scripted, turn: int, answer: str) -> None:
    """Also if the edit states another answer: the old one is not added below it."""
    groq = scripted(numbered_replies())
    thread.invoke({"query": "A"}, THREAD)
    text = f"An edit by hand.\n\n## Answer\n{answer}"
    edit = {"turns": [{"index": turn, "text": text}]}
    result = thread.invoke(None, thread.update_state(unfinished(thread)[turn + 2].config, edit))
    assert conversation(groq.requests[4])[0] == ("user", "A")
    assert groq.requests[4].messages[2 * turn] == {"role": "assistant", "content": text}
    texts = ["Reply 1.", "An edit ", "Reply 5."] if turn == 2 else ["An edit ", "Reply 5.", "Reply 6."]
    assert [turn["text"][:8] for turn in result["turns"]] == texts


def test_a_run_resumes_from_every_checkpoint(thread: Graph, groq: ScriptedGroq) -> None:
    """It makes only the calls that are missing, and ends with the same answer."""
    complete = thread.invoke({"query": "A"}, THREAD)
    for snapshot, calls in zip(unfinished(thread), [4, 4, 3, 3, 2, 1], strict=True):
        groq.requests.clear()
        result = thread.invoke(None, snapshot.config)
        assert len(groq.requests) == calls
        assert [turn["index"] for turn in result["turns"]] == [1, 2, 3]
        assert (result["answer"], len(result["messages"])) == (complete["answer"], 2)


@pytest.mark.parametrize(("node", "pauses"), [("first_turn", 1), ("verify", 1), ("refine_turn", 2), ("synthesize", 1)])
def test_a_run_can_be_interrupted_before_each_node(thread: Graph, groq: ScriptedGroq, node: Any, pauses: int) -> None:
    """None as the input resumes it; no call is made twice."""
    graph_input: Any = {"query": "A"}
    for _ in range(pauses):
        thread.invoke(graph_input, THREAD, interrupt_before=[node])
        assert thread.get_state(THREAD).next == (node,)
        graph_input = None
    result = thread.invoke(None, THREAD)
    assert (result["answer"], len(result["turns"]), len(groq.requests)) == ("The answer is 42.", 3, 4)


def test_a_strict_checkpointer_reads_the_state_back(groq: ScriptedGroq, caplog: pytest.LogCaptureFixture) -> None:
    """Apart from the messages the state is plain JSON, so a serializer that allows no other type does not warn."""
    thread = build_graph(InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None)))
    result = thread.invoke({"query": "A"}, THREAD)
    values = thread.get_state(THREAD).values
    assert values == {**result, "to_check": False, "to_structure": None}
    plain = {key: value for key, value in values.items() if key != "messages"}
    assert json.loads(json.dumps(plain)) == plain
    assert len(unfinished(thread)) == 6
    assert caplog.records == []


@dataclass
class HostContext:
    """A host graph's own context, with Llamaberry's settings in it."""

    model: str = "the host's own"
    llamaberry: Context | None = None


class HostState(TypedDict):
    """The state of a host graph that shares no key with Llamaberry."""

    task: str
    report: str


async def test_a_host_graph_can_run_the_graph_inside_a_node(groq: ScriptedGroq) -> None:
    """With another state and context. The nodes appear below the host's, and no run sees the one before it."""

    async def think(state: HostState) -> Any:
        result = await graph.ainvoke({"query": state["task"]})
        return {"report": f"{result['concise_answer']} in {len(result['turns'])} turns"}

    host = StateGraph(HostState, HostContext).add_node(think).add_edge(START, "think").compile(InMemorySaver())
    for settings, turns in ((Context(max_turns=2), 2), (None, 3)):
        nodes = []
        context = HostContext(llamaberry=settings)
        async for path, part in host.astream(
            {"task": "What is 6 x 7?"}, THREAD, context=context, stream_mode="updates", subgraphs=True
        ):
            nodes += [(len(path), *part)]
        steps = ["first_turn", "verify", *["refine_turn"] * (turns - 1), "synthesize"]
        assert nodes == [*((1, step) for step in steps), (0, "think")]
        assert host.get_state(THREAD).values["report"] == f"42 in {turns} turns"
    assert [len(request.messages) for request in groq.requests] == [2, 4, 6, 2, 4, 6, 8]


class Sharing(TypedDict):
    """The state of a host graph that shares keys with Llamaberry."""

    query: str
    messages: Annotated[list[Any], add_messages]
    turns: list[Any]
    answer: str


@pytest.mark.parametrize("own_memory", [None, True], ids=["no memory", "memory of its own"])
@pytest.mark.parametrize("key", ["query", "messages"])
def test_a_host_graph_with_the_same_keys_gets_each_turn_once(groq: ScriptedGroq, own_memory: Any, key: str) -> None:
    """The graph is a node of the host graph, which runs twice on a thread."""
    host: Any = StateGraph(Sharing, HostContext).add_node("think", build_graph(own_memory))
    host = host.add_edge(START, "think").compile(InMemorySaver())
    for question in ("A", "B"):
        graph_input = {"query": question} if key == "query" else {"messages": [H(question)]}
        result = host.invoke(graph_input, THREAD, context=HostContext())
        assert [turn["index"] for turn in result["turns"]] == [1, 2, 3]
        assert (result["query"], result["answer"]) == (question, "The answer is 42.")
    assert [m.text for m in result["messages"]] == ["A", "The answer is 42.", "B", "The answer is 42."]
    earlier = [("user", "A"), ("assistant", "The answer is 42.")]
    assert conversation(groq.requests[4]) == [*earlier, ("user", "B")]
