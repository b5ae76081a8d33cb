"""One run of the graph for one request: its text as it is written, and its result in the terms of OpenAI's APIs."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from langchain_core.messages import AIMessageChunk
from langgraph.types import StreamPart

from llamaberry.console import plain
from llamaberry.graph.answers import best_turn
from llamaberry.graph.calls import STRUCTURE, SYNTHESIZE, VERIFY, Call, Usage
from llamaberry.graph.check import Check, standing_answer, verified_turn
from llamaberry.graph.context import Context
from llamaberry.graph.events import is_own_event, step_of
from llamaberry.graph.tool_calls import ToolCall, describe_tool_call
from llamaberry.graph.turn import Turn
from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.graph.workflow import graph as default_graph
from llamaberry.models.client import check_models, client_settings
from llamaberry.models.limits import check_limits, with_limits
from llamaberry.server.openai_check import CHECK, render_check

TOOL = "tool"
"""The name of the step that a tool call is, between those of a turn."""


class Delta(NamedTuple):
    """A piece of a run's text. The first one of each step is its title, a heading above the model's own (##)."""

    starts_step: bool
    text: str


class Run:
    """A run. Iterate over `deltas()` to the end; then the other attributes are its result."""

    def __init__(
        self,
        messages: list[dict[str, Any]],
        context: Context,
        run_id: UUID,
        stop: Sequence[str] = (),
        graph: ReasoningGraph = default_graph,
    ) -> None:
        self.run_id = run_id
        self._input = {"messages": messages}
        self._context = context
        self._stop = stop
        self._graph = graph
        self._state: dict[str, Any] = {}

    def check(self) -> None:
        """Raise SetupError if a key is missing or a model not allowed. It reads from the disk: call it in a thread."""
        check_limits(self._context)
        client_settings(self._context)
        check_models(with_limits(self._context))

    async def deltas(self) -> AsyncGenerator[Delta]:
        """Run the graph; yield the text of its steps, and at the end what is missing in the answer.

        Raises:
            LlamaberryError: the run failed.
        """
        current_step = None
        async with aclosing(self._steps()) as steps:
            async for step, text in steps:
                if step != current_step:
                    yield Delta(True, f"# {step}\n\n")
                    current_step = step
                elif step in (CHECK, TOOL):
                    yield Delta(False, "\n\n")
                yield Delta(False, text)
        if self.degraded:
            yield Delta(True, "# degraded\n\n")
            yield Delta(False, self.degraded)

    async def _steps(self) -> AsyncGenerator[tuple[str, str]]:
        """Run the graph; yield pieces of text with the name of their step. A program and its output are one piece."""
        stream = self._graph.astream(
            self._input,
            {"run_id": self.run_id},
            context=self._context,
            stream_mode=["messages", "custom", "values"],
            version="v2",
        )
        check: Check | None = None
        async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
            async for part in parts:
                if part["type"] == "values":
                    self._state = cast("dict[str, Any]", part["data"])
                elif part["type"] == "custom" and is_own_event(event := part["data"]):
                    if event["type"] == "tool_finished":
                        yield TOOL, plain(describe_tool_call(cast("ToolCall", event)))
                    elif event["type"] == "check_finished":
                        before, check = check, cast("Check", event)
                        yield CHECK, render_check(check, self._state["turns"][-1], before)
                elif part["type"] == "messages":
                    message, metadata = part["data"]
                    # The reply with a program is shown by its check, once the program has run.
                    is_shown = isinstance(message, AIMessageChunk) and message.text and metadata.get("kind") != VERIFY
                    if is_shown and (step := step_of(metadata)):
                        yield step, message.text

    @property
    def has_turn(self) -> bool:
        """Whether a turn is complete: then the run has an answer, and later failures only degrade it."""
        return bool(self._state.get("turns"))

    @property
    def answer(self) -> str:
        """The answer, up to the first stop sequence in it; if JSON is requested, the JSON ("" with a `refusal`)."""
        if self._context.answer_schema:
            return "" if self.refusal else json.dumps(self._state["structured"], ensure_ascii=False)
        answer = cast("str", self._state["answer"])
        return answer[: min((answer.find(stop) for stop in self._stop if stop in answer), default=len(answer))]

    @property
    def refusal(self) -> str | None:
        """Why there is no JSON, though it was requested."""
        missing = self._context.answer_schema and self._state["structured"] is None
        return self.degraded if missing else None

    @property
    def degraded(self) -> str | None:
        """What is missing, in a sentence; None if the run did all that was planned."""
        return cast("str | None", self._state["degraded"])

    @property
    def usage(self) -> Usage:
        """The totals of all calls."""
        return cast("Usage", self._state["usage"])

    @property
    def reasoning_tokens(self) -> int:
        """The output tokens that are not in the answer: an estimate by the answer's share of its reply's text."""
        reply, answer, output_tokens = self._reply, self.answer, self.usage["output_tokens"]
        tokens = reply and reply["usage"]
        if not reply or not tokens:
            return max(0, output_tokens - len(answer) // 4)
        visible = tokens["output_tokens"] - tokens.get("output_token_details", {}).get("reasoning", 0)
        return max(0, output_tokens - round(visible * min(1, len(answer) / max(1, len(reply["text"])))))

    @property
    def finish_reason(self) -> Literal["stop", "length"]:
        """Whether the reply with the answer was truncated; JSON that fits a schema was not."""
        reply = None if self._context.answer_schema else self._reply
        return "length" if reply and reply["finish_reason"] == "length" else "stop"

    @property
    def _reply(self) -> Turn | Call | None:
        """The reply with the answer: the JSON, the synthesis or the turn used; None for a program's answer."""
        turns, check, last_call = self._state["turns"], self._state["check"], self._state["calls"][-1]
        if last_call["step"] == STRUCTURE:
            return cast("Call", last_call)
        if self._state["answer"] == standing_answer(turns, check):
            return None
        turn = verified_turn(turns, check) or best_turn(turns) or turns[-1]
        return cast("Call", last_call) if last_call["step"] == SYNTHESIZE else turn
