"""Llamaberry as a tool for an agent: a hard question goes in, a short answer comes back, the turns beside it."""

from collections.abc import Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, ToolException
from langgraph.config import get_stream_writer
from langgraph.types import StreamMode
from pydantic import BaseModel, Field, ValidationError

from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, describe_validation_error
from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.graph.workflow import graph as default_graph

DESCRIPTION = """\
Think about a hard question in several turns: answer it, test the answer, revise it where it is wrong. Use it for \
questions that need reasoning in steps (arithmetic, logic, planning, comparing claims), not for looking things up: it \
has no access to anything but the question, and takes several times as long as one answer."""

MODES: list[StreamMode] = ["custom", "values"]


class ToolInput(BaseModel):
    """What the tool takes."""

    question: str = Field(
        min_length=1,
        description="The whole question, with every fact, number and condition that it depends on: "
        "nothing else of the conversation is seen.",
    )


def as_tool(
    context: Context | None = None,
    *,
    name: str = "think_in_turns",
    description: str = DESCRIPTION,
    graph: ReasoningGraph = default_graph,
) -> StructuredTool:
    """Return a tool for `create_agent`, or any model that calls tools; it works with `invoke` and `ainvoke`.

    Args:
        context: how the tool thinks; the host agent's own context is never read.
        name: what the model calls it by.
        description: what the model reads about it.
        graph: another graph of `build_graph`.

    The model gets the concise answer; the graph's output (an Answer, with the turns) is the message's `artifact`. In a
    LangGraph agent the graph's events come out of the agent's stream mode "custom". A model call that fails for good is
    told to the agent's model as the tool's error; a SetupError is raised, for it is the operator's.
    """

    context = context or Context()  # the host agent's own is never read

    def think(question: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        answer: dict[str, Any] = {}
        write = _writer()
        try:
            for mode, part in graph.stream({"query": question}, config, context=context, stream_mode=MODES):
                answer = _taken(mode, part, answer, write)
        except (ModelError, ValidationError) as error:
            raise _told(error) from error
        return answer["concise_answer"] or answer["answer"], answer

    async def athink(question: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        answer: dict[str, Any] = {}
        write = _writer()
        try:
            async for mode, part in graph.astream({"query": question}, config, context=context, stream_mode=MODES):
                answer = _taken(mode, part, answer, write)
        except (ModelError, ValidationError) as error:
            raise _told(error) from error
        return answer["concise_answer"] or answer["answer"], answer

    return StructuredTool.from_function(
        think,
        athink,
        name=name,
        description=description,
        args_schema=ToolInput,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _told(error: ModelError | ValidationError) -> ToolException:
    return ToolException(str(error) if isinstance(error, ModelError) else describe_validation_error(error, {}))


def _taken(mode: str, part: Any, answer: dict[str, Any], write: Callable[[Any], None]) -> dict[str, Any]:
    if mode == "custom":
        write(part)
        return answer
    return dict(part)


def _writer() -> Callable[[Any], None]:
    try:
        return get_stream_writer()
    except (RuntimeError, KeyError):  # outside of LangGraph nobody streams
        return lambda part: None
