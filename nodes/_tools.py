"""Runs the tools that a turn calls, with limits; what they return or why they fail is for the model, and recorded."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManager, AsyncCallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolCall as Request
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp

from llamaberry.graph.events import tool_finished, tool_started
from llamaberry.graph.tool_calls import MAX_RESULT_CHARS, ToolCall, cut
from llamaberry.models.guard import Guard, redact, with_guard_first

Status = Literal["success", "error"]

_MAX_ERROR_CHARS = 1_000
_NOT_RUN = "not run: the limit of {limit} tool calls for one turn is used up"


class Toolbox(NamedTuple):
    """The tools of one attempt at a turn, and what their runs need."""

    tools: Sequence[BaseTool]
    turn: int
    limit: int
    """Calls per turn."""
    timeout_s: float
    secrets: tuple[str, ...]
    config: RunnableConfig
    write: Callable[[Any], None]
    """Writes an event."""

    async def run(self, requests: Sequence[Request], earlier: int) -> tuple[list[ToolCall], list[ToolMessage]]:
        """Run what the model asks for, at the same time; `earlier` is how many calls the turn has made before.

        Return the records, and a message for each request, also for those beyond the limit. No tool's failure is an
        exception, except for LangGraph's own, such as a pause.
        """
        allowed = requests[: max(0, self.limit - earlier)]
        calls = await asyncio.gather(*(self._run(request, earlier + n) for n, request in enumerate(allowed, 1)))
        outcomes = [_outcome(call) for call in calls]
        outcomes += [(_NOT_RUN.format(limit=self.limit), "error")] * (len(requests) - len(allowed))
        messages = [
            ToolMessage(text, name=request["name"], tool_call_id=request["id"] or "", status=status)
            for request, (text, status) in zip(requests, outcomes, strict=True)
        ]
        return calls, messages

    async def _run(self, request: Request, number: int) -> ToolCall:
        name, args = request["name"], request["args"]
        self.write(tool_started(self.turn, number, name, args))
        started_at = time.monotonic()
        result, error = None, None
        try:
            message = await self._call(request)
        except GraphBubbleUp:
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a tool raises, the model may do without it
            error = str(failure) if isinstance(failure, _NoResultError) else f"{type(failure).__name__}: {failure}"
        else:
            result, error = (None, message.text) if message.status == "error" else (message.text, None)
        call = ToolCall(
            name=name,
            args=args,
            result=None if result is None else cut(self._clean(result), MAX_RESULT_CHARS),
            error=None if error is None else " ".join(self._clean(error).split())[:_MAX_ERROR_CHARS],
            seconds=round(time.monotonic() - started_at, 3),
        )
        self.write(tool_finished(self.turn, number, call))
        return call

    def _clean(self, text: str) -> str:
        """Return a text without keys, and without what no request can contain, such as half of a surrogate pair."""
        redacted: str = redact(text, self.secrets)
        return redacted.encode("utf-8", "replace").decode("utf-8")

    async def _call(self, request: Request) -> ToolMessage:
        """Return the tool's message. Raises what the tool raises, and _NoResultError if there is no result in time."""
        tool = next((tool for tool in self.tools if tool.name == request["name"]), None)
        if tool is None:
            raise _NoResultError(f"there is no such tool ({', '.join(tool.name for tool in self.tools)})")
        run_id = uuid4()
        config = with_guard_first(merge_configs(self.config, {"run_id": run_id}), Guard(0, self.secrets))
        try:
            async with asyncio.timeout(self.timeout_s) as timeout:
                result = await tool.ainvoke({**request, "type": "tool_call"}, config)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            late = _NoResultError(f"no result within {self.timeout_s:g} s")
            # LangChain leaves the trace of a cancelled tool without an end.
            manager = AsyncCallbackManager.configure(config.get("callbacks"))
            run = AsyncCallbackManagerForToolRun(
                run_id=run_id,
                handlers=manager.handlers,
                inheritable_handlers=manager.inheritable_handlers,
                parent_run_id=manager.parent_run_id,
            )
            await run.on_tool_error(late)
            raise late from error
        if not isinstance(result, ToolMessage):
            raise _NoResultError(f"it returned a {type(result).__name__}, which a turn cannot use")
        return result


class _NoResultError(Exception):
    """Why a call has no result, in words that need no class name."""


def _outcome(call: ToolCall) -> tuple[str, Status]:
    """Return what the model reads of a call."""
    return (call["result"] or "", "success") if call["error"] is None else (f"failed: {call['error']}", "error")


def with_id(request: Request, number: int) -> Request:
    """Return a request with an id, which models that are no provider's may leave out."""
    return {**request, "id": request["id"] or f"call_{number}"}
