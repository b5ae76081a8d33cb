"""What Studio does, on the real server: over HTTP, by LangGraph's own client.

The forms that Studio draws are a snapshot. After an intended change, update it and read the difference:

    UPDATE_SNAPSHOTS=1 pytest tests/server/test_studio.py
"""

import json
from typing import Any

import httpx
import pytest

from llamaberry import State, Turn
from testing.scripted_groq import Reply, first, refine, synthesis
from testing.snapshots import check_snapshot
from testing.studio import INPUT, TWO_TURNS, Studio

TURN_NODES = ["first_turn", "refine_turn"]
NODES = ["first_turn", "verify", "refine_turn", "synthesize"]
"""Those of a run with two turns whose question no program can answer, in order."""


def form(title: str, schema: Any) -> list[str]:
    """Return a form, a line for each field, without LangChain's own definitions of messages."""
    lines = ["", f"{title}: {schema['title']}: {schema.get('description', '')}"]
    for name, field in schema["properties"].items():
        if "oneOf" in field.get("items", {}):
            field["items"] = "messages"
        if field.get("langgraph_type") == "prompt":
            field["default"] = "the system prompt"
        lines.append(f"  {name} {json.dumps(field, ensure_ascii=False)}")
    return lines


def test_the_forms_match_the_snapshot(studio: Studio) -> None:
    schemas: Any = studio.client.assistants.get_schemas(studio.assistant)
    forms = {name: schemas[f"{name}_schema"] for name in ("input", "output", "state", "context")}
    forms |= {name: forms["state"]["$defs"][name] for name in ("Turn", "Step", "Check")}
    lines = [line for name, schema in forms.items() for line in form(name, schema)]
    check_snapshot("forms.txt", "\n".join(lines).lstrip() + "\n")


def test_the_drawing_shows_the_nodes_and_the_loop(studio: Studio) -> None:
    drawing: Any = httpx.get(f"{studio.address}/assistants/{studio.assistant}/graph?xray=true").json()
    assert [node["id"] for node in drawing["nodes"]] == ["__start__", *NODES, "__end__"]
    edges = {(edge["source"], edge["target"], edge.get("conditional", False)) for edge in drawing["edges"]}
    steps = {(step, to, True) for step in NODES[:3] for to in NODES[1:]}
    ends = {("synthesize", to, True) for to in ("synthesize", "__end__")}
    assert edges == {("__start__", "first_turn", False), *steps, *ends}


def test_chat_mode_continues_the_conversation(studio: Studio) -> None:
    """The second question sees the first with its answer, and has its own turns."""
    studio.run(input={"messages": [{"role": "user", "content": "What is 6 x 7?"}]})
    studio.groq.requests.clear()
    second = studio.run(input={"messages": [{"type": "human", "content": "And half of it?"}]})
    messages = [(message["type"], message["content"]) for message in second["messages"]]
    answer = ("ai", "The answer is 42.")
    assert messages == [("human", "What is 6 x 7?"), answer, ("human", "And half of it?"), answer]
    assert (second["query"], [turn["index"] for turn in second["turns"]]) == ("And half of it?", [1, 2])
    prompt = [message["content"].split("\n\n")[0] for message in studio.groq.requests[0].messages[1:]]
    assert prompt == ["What is 6 x 7?", "The answer is 42.", "And half of it?"]


def test_all_stream_modes_work_together(studio: Studio) -> None:
    modes: Any = ["values", "updates", "messages-tuple", "events", "debug", "tasks", "checkpoints", "custom"]
    parts: dict[str, list[Any]] = {}
    for part in studio.client.runs.stream(
        studio.thread, studio.assistant, input=INPUT, context=TWO_TURNS, stream_mode=modes
    ):
        parts.setdefault(part.event, []).append(part.data)
    assert "error" not in parts
    assert [next(iter(update)) for update in parts["updates"]] == NODES
    assert [len(state.get("turns", [])) for state in parts["values"]] == [0, 1, 1, 2, 2]
    assert [task["name"] for task in parts["tasks"] if "result" in task] == NODES
    assert parts["checkpoints"][-1]["next"] == []
    assert {entry["type"] for entry in parts["debug"]} == {"checkpoint", "task", "task_result"}
    assert {"on_chain_start", "on_chat_model_stream", "on_chain_end"} <= {event["event"] for event in parts["events"]}
    tokens = dict.fromkeys(NODES, "")
    for chunk, metadata in parts["messages"]:
        if chunk["type"] == "AIMessageChunk":
            tokens[metadata["langgraph_node"]] += chunk["content"]
    assert list(tokens.values()) == [first(), "NONE", refine(), synthesis()]


def test_the_state_holds_the_text_of_each_turn_once(studio: Studio) -> None:
    studio.run(input=INPUT)
    values: Any = studio.client.threads.get_state(studio.thread)["values"]
    assert set(values) == State.__required_keys__
    for turn in values["turns"]:
        assert set(turn) == Turn.__required_keys__
        assert all(len(key) <= len("finish_reason") for key in turn)
        assert json.dumps(values).count(json.dumps(turn["text"])) == 1


def test_every_step_of_the_history_can_be_run_again(studio: Studio) -> None:
    """From any node's checkpoint: earlier turns are kept, later ones are asked again."""
    studio.run(input=INPUT)
    for calls, node in enumerate(("synthesize", "refine_turn", "first_turn"), 1):
        checkpoint = studio.state_before(node)["checkpoint"]
        studio.groq.play([first("1"), refine("1"), synthesis("It is 1.", "42" if calls == 1 else "1")][-calls:])
        result = studio.run(checkpoint=checkpoint)
        answers = ["42"] * (3 - calls) + ["1"] * (calls - 1)
        assert ([turn["answer"] for turn in result["turns"]], result["answer"]) == (answers, "It is 1."), node
        assert [message["type"] for message in result["messages"]] == ["human", "ai"]
        assert len(studio.groq.requests) == calls


TEXT = refine("41", "revise", review="Turn 1 added.", steps=[("Add.", "6 + 35.")])
ANSWER_ONLY = refine("41")  # differs from the model's text only in the answer
EDITS: dict[str, tuple[dict[str, Any], str]] = {  # an edit of turn 2, and what the model sees of it
    "text": ({"text": TEXT}, TEXT),
    "the answer within the text": ({"text": ANSWER_ONLY}, ANSWER_ONLY),
    "answer": ({"answer": "41"}, f"{refine()}\n\n## Answer\n41"),
    "both": ({"text": TEXT, "answer": "41"}, TEXT),
}


@pytest.mark.parametrize("whole", [False, True], ids=["its fields", "the whole list"])
@pytest.mark.parametrize("turns", [3, 2], ids=["before a refine turn", "before the synthesis"])
def test_later_steps_use_the_edit_of_a_fork(studio: Studio, turns: int, whole: bool) -> None:
    """A fork may send the edited fields only, or all turns, as Studio does."""
    settings = {"max_turns": turns}
    studio.run(input=INPUT, context=settings)
    state = studio.state_before("refine_turn" if turns == 3 else "synthesize", turns=2)
    one, two = state["values"]["turns"]
    for name, (edit, expected) in EDITS.items():
        values = {"turns": [one, {**two, **edit}] if whole else [{"index": 2, **edit}]}
        fork: Any = studio.client.threads.update_state(studio.thread, values, checkpoint=state["checkpoint"])
        studio.groq.requests.clear()
        result = studio.run(checkpoint=fork["checkpoint"], context=settings)
        assert studio.sent_turns() == [first(), expected, refine()][:turns], name
        assert len(studio.groq.requests) == turns - 1, name
        assert [turn["answer"] for turn in result["turns"]] == ["42", "41", "42"][:turns], name
        assert [turn["index"] for turn in result["turns"]] == [1, 2, 3][:turns], name


def test_a_fork_keeps_the_other_branch(studio: Studio) -> None:
    result = studio.run(input=INPUT)
    state = studio.state_before("synthesize")
    edit = {"turns": [{"index": 2, "answer": "41"}]}
    studio.client.threads.update_state(studio.thread, edit, checkpoint=state["checkpoint"])
    old: Any = studio.client.threads.get_state(studio.thread, checkpoint=state["checkpoint"])
    assert old["values"]["turns"] == result["turns"]


@pytest.mark.parametrize("node", NODES)
def test_a_run_can_stop_before_any_node_and_resume(studio: Studio, node: str) -> None:
    paused = studio.run(input=INPUT, interrupt_before=[node])
    state: Any = studio.client.threads.get_state(studio.thread)
    assert state["next"] == [node]
    turns_before = sum(earlier in TURN_NODES for earlier in NODES[: NODES.index(node)])
    assert len(paused["turns"]) == len(studio.groq.requests) == turns_before
    assert studio.client.threads.get(studio.thread)["status"] == "interrupted"
    result = studio.run()
    assert ([turn["index"] for turn in result["turns"]], result["answer"]) == ([1, 2], "The answer is 42.")
    assert len(studio.groq.requests) == 3


def test_a_cancelled_run_closes_its_call_and_can_resume(studio: Studio) -> None:
    studio.groq.play([first(), Reply(refine(), hang=True), refine(), synthesis()])
    run = studio.client.runs.create(studio.thread, studio.assistant, input=INPUT, context=TWO_TURNS)
    while len(studio.groq.requests) < 2:
        assert studio.client.runs.get(studio.thread, run["run_id"])["status"] in ("pending", "running")
    studio.groq.wait(open_requests=1)
    studio.client.runs.cancel(studio.thread, run["run_id"], wait=True)
    studio.groq.wait(open_requests=0)
    assert studio.groq.disconnects == 1
    state: Any = studio.client.threads.get_state(studio.thread)
    assert (state["next"], [turn["index"] for turn in state["values"]["turns"]]) == (["refine_turn"], [1])
    assert [turn["index"] for turn in studio.run()["turns"]] == [1, 2]
    assert len(studio.groq.requests) == 4


def test_an_invalid_run_leaves_the_thread_usable(studio: Studio) -> None:
    for options, message in (({"context": {"max_turns": 99}}, "max_turns"), ({"input": {"query": " "}}, "blank")):
        with pytest.raises(Exception, match=message):
            studio.run(**{"input": INPUT, **options})
    assert studio.run(input=INPUT)["concise_answer"] == "42"
    assert len(studio.groq.requests) == 3
