"""Structure: put the answer into the schema that the context asks for, in a short conversation of its own.

It is a run of the node synthesize after the one that wrote the answer: a checkpoint keeps the answer first, and a run
without a schema has no step more. A reply that does not fit is repaired once, with the reason.
"""

import json
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage

from llamaberry.graph.answer_schema import JsonSchema, read_structured
from llamaberry.graph.errors import ModelError
from llamaberry.models.client import ModelReply
from llamaberry.nodes._node import Attempt, Node

SYSTEM_PROMPT = """\
You put answers into a given form. Read the question and the answer to it, and write what the answer says as JSON \
that fits the schema. Take every value from the answer, and only what it leaves out from the question or from what you \
know. Do not answer the question again."""

ASK = """\
The question:

{question}

The answer:

{answer}

The JSON schema:

{schema}

Reply with the JSON alone."""

REPAIR = "This does not fit the schema: {misfit}.\n\nReply with the whole JSON again, without this error."


def schema_of(attempt: Attempt) -> JsonSchema:
    """Return the schema of the answer."""
    return cast("JsonSchema", attempt.context.answer_schema)


def prompt(attempt: Attempt) -> list[AnyMessage] | None:
    """Return the question, its answer and the schema, and for a repair the reply that does not fit it.

    A system message of the conversation may describe the form, too. None if the settings ask for no schema any more.
    """
    if not attempt.context.answer_schema:
        return None
    state, schema = attempt.state, schema_of(attempt)
    concise = state["concise_answer"]
    answer = state["answer"] if concise in ("", state["answer"]) else f"{state['answer']}\n\nIn short: {concise}"
    question = attempt.conversation.query
    instructions = [message for message in attempt.conversation.earlier if message.type == "system"]
    ask = ASK.format(question=question, answer=answer, schema=json.dumps(schema, ensure_ascii=False))
    messages: list[AnyMessage] = [SystemMessage(SYSTEM_PROMPT), *instructions, HumanMessage(ask)]
    if state["to_structure"] == "repair":
        reply = state["calls"][-1].get("text", "")
        misfit = read_structured(reply, schema).misfit
        messages += [AIMessage(reply), HumanMessage(REPAIR.format(misfit=misfit))]
    return messages


def update(attempt: Attempt, reply: ModelReply | None) -> dict[str, Any]:
    """Write the structured answer, or that it has to be repaired, or why there is none."""
    if reply is None:
        return {"to_structure": None}
    value, misfit = read_structured(reply.message.text, schema_of(attempt))
    if misfit is None:
        return {"structured": value, "to_structure": None}
    if attempt.state["to_structure"] == "write":
        return {"to_structure": "repair"}
    return _without(attempt, f"The model's JSON does not fit the schema, so there is no structured answer: {misfit}.")


def on_failure(attempt: Attempt, error: ModelError) -> dict[str, Any]:
    """Keep the answer, without a structured one."""
    return _without(attempt, f"The call for the structured answer failed, so there is none: {error}.")


def _without(attempt: Attempt, reason: str) -> dict[str, Any]:
    degraded = " ".join(filter(None, [attempt.state.get("degraded"), reason]))
    return {"structured": None, "to_structure": None, "stop_reason": "error", "degraded": degraded}


structure = Node(prompt, update, on_failure, schema=schema_of)
