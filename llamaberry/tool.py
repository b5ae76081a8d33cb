"""Llamaberry as a tool for an agent: it takes a hard question, and returns a short answer with the turns."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, ToolException
from langgraph.config import get_stream_writer
from langgraph.types import StreamMode
from pydantic import BaseModel, Field, ValidationError

from llamaberry.graph.answer_schema import SchemaOrType
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, describe_validation_error
from llamaberry.graph.state import Output
from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.graph.workflow import graph as default_graph

DESCRIPTION = """\
Think about a hard question in several turns: answer it, test the answer, revise it where it is wrong. Use it for \
questions that need reasoning in steps (arithmetic, logic, planning, comparing claims), not for looking things up: it \
has no access to anything but the question, and takes several times as long as one answer."""

MODES: list[StreamMode] = ["custom", "values"]

_tool_call_id: ContextVar[str | None] = ContextVar("llamaberry_tool_call_id", default=None)


class ToolInput(BaseModel):
    """The tool's arguments."""

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
    answer_schema: SchemaOrType | None = None,
) -> StructuredTool:
    """Return a tool for `create_agent`, or for any model that calls tools; it works with `invoke` and `ainvoke`.

    Args:
        context: the settings of each run; the host agent's own context is never read.
        name: the tool's name, for the model.
        description: what the model reads about the tool.
        graph: another graph of `build_graph`.
        answer_schema: the context's, as a JSON schema, a pydantic class or a TypedDict.

    The model gets the concise answer, or with an `answer_schema` the structured one as JSON; the graph's output (an
    Output, with the turns) is the message's `artifact`. In a LangGraph agent the graph's events appear in the agent's
    stream mode "custom", each with the `tool_call_id` of the agent's call. A failed model call is returned to the
    agent's model as the tool's error; a SetupError is raised, because only the operator can fix it.
    """
    context = context or Context()
    if answer_schema is not None:
        context = Context(**context.model_dump() | {"answer_schema": answer_schema})

    options: dict[str, Any] = {
        "context": context,
        "stream_mode": MODES,
        "output_keys": [*Output.__annotations__],
    }

    def think(question: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        with _tool_run() as run:
            for mode, part in graph.stream({"query": question}, config, **options):
                run.add(mode, part)
        return run.result

    async def athink(question: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        with _tool_run() as run:
            async for mode, part in graph.astream({"query": question}, config, **options):
                run.add(mode, part)
        return run.result

    return _Tool.from_function(
        think,
        athink,
        name=name,
        description=description,
        args_schema=ToolInput,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


class _Tool(StructuredTool):
    """Tells its function the id of the call: LangChain injects it only into tools that cannot be called without one."""

    def run(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """Run the tool."""
        with _call(tool_call_id):
            return super().run(*args, tool_call_id=tool_call_id, **kwargs)

    async def arun(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """Run the tool in this event loop."""
        with _call(tool_call_id):
            return await super().arun(*args, tool_call_id=tool_call_id, **kwargs)


@contextmanager
def _call(tool_call_id: str | None) -> Iterator[None]:
    token = _tool_call_id.set(tool_call_id)
    try:
        yield
    finally:
        _tool_call_id.reset(token)


class _ToolRun:
    """Passes the events of one run on to the agent's stream, and keeps its newest state."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        call = _tool_call_id.get()
        self.of_call = {"tool_call_id": call} if call else {}
        try:
            self.write = get_stream_writer()
        except (RuntimeError, KeyError):  # the tool is called outside of LangGraph
            self.write = lambda event: None

    def add(self, mode: str, part: Any) -> None:
        if mode == "custom":
            self.write({**part, **self.of_call} if isinstance(part, dict) else part)
        else:
            self.state = part

    @property
    def result(self) -> tuple[str, dict[str, Any]]:
        """The content and the artifact of the tool's message."""
        state = self.state
        if state["structured"] is not None:
            return json.dumps(state["structured"], ensure_ascii=False), state
        return state["concise_answer"] or state["answer"], state


@contextmanager
def _tool_run() -> Iterator[_ToolRun]:
    try:
        yield _ToolRun()
    except ModelError as error:
        raise ToolException(str(error)) from error
    except ValidationError as error:
        raise ToolException(describe_validation_error(error, {})) from error
