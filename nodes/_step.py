"""What LangGraph runs: a node, with a review before it and what every node writes after it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast, get_type_hints

from langchain_core.messages import AnyMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import get_runtime
from langgraph.types import Command
from typing_extensions import is_typeddict

from llamaberry.graph.calls import STRUCTURE, add_calls, stored_calls, total
from llamaberry.graph.context import resolve_context
from llamaberry.graph.events import check_finished, check_started, refining_ended, turn_finished, turn_started
from llamaberry.graph.routing import is_to_check, why_stop
from llamaberry.graph.state import State
from llamaberry.graph.turn import Turn, keep_turns
from llamaberry.models.client import check_models
from llamaberry.models.limits import check_limits, with_limits
from llamaberry.models.objects import ModelObject
from llamaberry.models.retry import MAX_ATTEMPTS
from llamaberry.models.tools import check_tools
from llamaberry.nodes._conversation import read_conversation
from llamaberry.nodes._node import Attempt
from llamaberry.nodes._review import Reviewed, review
from llamaberry.nodes._structure import structure
from llamaberry.tracing.node_trace import NodeTrace

_NEW_RUN = {
    "calls": None,
    "check": None,
    "answer": "",
    "concise_answer": "",
    "structured": None,
    "to_structure": None,
    "degraded": None,
}
"""What a first turn resets, if it does not write it."""


class Runs(Protocol):
    """A node as a Step runs it, in a thread or in an event loop."""

    def run(self, attempt: Attempt) -> Any:
        """Return the update."""

    async def arun(self, attempt: Attempt) -> Any:
        """Return the update."""


class RunnableNode:
    """A user's own node: anything that LangGraph accepts as one, after LangGraph has made it a Runnable."""

    def __init__(self, runnable: Runnable[Any, Any], input_schema: type) -> None:
        self._runnable = runnable
        self._input_schema = input_schema

    def run(self, attempt: Attempt) -> Any:
        """Return the node's update."""
        return self._runnable.invoke(self._input(attempt.state), attempt.trace.config)

    async def arun(self, attempt: Attempt) -> Any:
        """Return the node's update."""
        return await self._runnable.ainvoke(self._input(attempt.state), attempt.trace.config)

    def _input(self, state: State) -> Any:
        if is_typeddict(self._input_schema):
            return state
        fields = cast("dict[str, Any]", state)
        return self._input_schema(
            **{name: fields[name] for name in get_type_hints(self._input_schema) if name in fields}
        )


class Step(Runnable[Any, Any]):
    """A node of the graph. It pauses for a review, runs the node, and adds to its update what all nodes have in common:
    the question, the reviewed turn, the totals, the reason to stop, and the events.

    It has a synchronous and an asynchronous method because `graph.invoke` refuses nodes with only the latter. It is a
    plain Runnable because a RunnableLambda adds a run of its own to every trace.
    """

    name: str

    def __init__(
        self, name: str, node: Runs, models: Mapping[str, ModelObject], tools: Sequence[BaseTool] = ()
    ) -> None:
        self.name = name
        self.node = node
        self.models = models
        self.tools = tools

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run one attempt in this thread."""
        attempt, reviewed = self._start(input, config)
        update = {"stop_reason": "review"} if reviewed.stop else self._node(attempt).run(attempt)
        return self._finish(attempt, reviewed, update)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run one attempt in this event loop."""
        attempt, reviewed = self._start(input, config)
        update = {"stop_reason": "review"} if reviewed.stop else await self._node(attempt).arun(attempt)
        return self._finish(attempt, reviewed, update)

    def _start(self, input: Any, config: RunnableConfig | None) -> tuple[Attempt, Reviewed]:
        runtime = get_runtime()
        info = runtime.execution_info
        number = info.node_attempt if info else MAX_ATTEMPTS
        state = cast("State", input if isinstance(input, Mapping) else dict(input))
        context = resolve_context(runtime.context, (config or {}).get("configurable"))
        conversation = read_conversation(state)
        name = STRUCTURE if self.name == "synthesize" and state.get("to_structure") else self.name
        trace = NodeTrace(name, self._turn_index(state), number, config)
        # In each step: a run may begin at any checkpoint, with other settings.
        check_limits(context, tools=bool(self.tools))
        context = with_limits(context)
        if trace.turn == 1:
            if self.tools:
                check_tools(context, self.models)
            check_models(context, self.models)
        reviewed = review(name, state, context, conversation.query)
        if reviewed.edits:
            state = {**state, "turns": keep_turns(state["turns"], reviewed.edits)}
        if trace.turn and not reviewed.stop:
            runtime.stream_writer(turn_started(trace.turn, number))
        elif self.name == "verify":
            runtime.stream_writer(check_started(state["turns"][-1]["index"], number))
        started_at = (info and info.node_first_attempt_time) or time.time()
        usage = state.get("usage") or total(stored_calls(state))
        write = runtime.stream_writer
        attempt = Attempt(
            state, context, conversation, number, started_at, usage, trace, [], write, self.tools, self.models
        )
        return attempt, reviewed

    def _node(self, attempt: Attempt) -> Runs:
        """Return the node to run: once synthesize has written the answer, what puts it into the requested schema."""
        return structure if attempt.trace.node == STRUCTURE else self.node

    def _turn_index(self, state: State) -> int | None:
        """Return the index of the turn that this node writes; None if it writes none."""
        turns = state.get("turns")
        return {"first_turn": 1, "refine_turn": turns[-1]["index"] + 1 if turns else None}.get(self.name)

    def _finish(self, attempt: Attempt, reviewed: Reviewed, update: Any) -> Any:
        if isinstance(update, Command):
            return replace(update, update=self._finish(attempt, reviewed, update.update))
        if not isinstance(update, Mapping | None):
            kind = type(update).__name__
            raise TypeError(f"the node {self.name!r} returned a {kind}: return a dict, a Command or None")
        result: dict[str, Any] = {"query": attempt.conversation.query, **(update or {})}
        if attempt.trace.turn == 1:
            result = {**_NEW_RUN, **result, "messages": _with_question(attempt, result.get("messages", []))}
        turns = attempt.state.get("turns") or []
        turn = None
        if edits := [*reviewed.edits, *result.get("turns", [])]:
            turns = keep_turns(turns, edits)
            indexes = {edit["index"] for edit in edits}
            result["turns"] = [turn for turn in turns if turn["index"] in indexes]
            turn = turns[-1] if turns[-1]["index"] == attempt.trace.turn else None
        if "calls" in result:
            result["usage"] = add_calls(attempt.usage, result["calls"] or [])
            if not attempt.state.get("usage") and (earlier := stored_calls(attempt.state)):
                result["calls"] = [*earlier, *result["calls"]]  # a run that version 0.1.0 started
        check = None if attempt.trace.turn == 1 else attempt.state.get("check")
        if turn:
            usage = result.get("usage", attempt.usage)
            result.setdefault("stop_reason", why_stop(turns, usage, attempt.context, check))
        if attempt.trace.turn:
            result["to_check"] = is_to_check(turns, check, result.get("stop_reason"), attempt.context)
        elif self.name == "verify":
            result.setdefault("to_check", False)
        elif attempt.trace.node == "synthesize" and attempt.context.answer_schema:
            result["to_structure"] = "write"
        self._report(attempt, result, turn, turns)
        return result

    def _report(self, attempt: Attempt, update: dict[str, Any], turn: Turn | None, turns: Sequence[Turn]) -> None:
        """Write the events and the trace of a finished node."""
        write = get_runtime().stream_writer
        if turn:
            write(turn_finished(turn))
        elif self.name == "verify" and (check := update.get("check")):
            write(check_finished(turns[-1]["index"], check))
        reason = update.get("stop_reason") or (attempt.state.get("stop_reason") if self.name == "verify" else None)
        if self.name != "synthesize" and reason and not update.get("to_check"):
            write(refining_ended(reason, len(turns)))
        attempt.trace.finish(attempt.state, update, turn)


def _with_question(attempt: Attempt, messages: Any) -> list[AnyMessage]:
    """Return the messages that a first turn adds: the question too, if neither it nor the thread has it."""
    question, added = attempt.conversation.question, cast("list[AnyMessage]", convert_to_messages(messages))
    present = question in attempt.state["messages"] or any(
        message.type == "human" and message.text == question.text for message in added
    )
    return added if present else [question, *added]
