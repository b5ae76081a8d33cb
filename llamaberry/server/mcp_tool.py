"""The tool `think` of the MCP server: a question becomes a run of the graph, its events become progress."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, cast

from langsmith import uuid7
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypedDict

from llamaberry.console import one_line
from llamaberry.graph.calls import Usage
from llamaberry.graph.check import Check, CheckVerdict, describe_check
from llamaberry.graph.context import Context
from llamaberry.graph.errors import LlamaberryError, describe_validation_error
from llamaberry.graph.events import Event
from llamaberry.graph.state import Output, StopReason
from llamaberry.graph.turn import Verdict
from llamaberry.graph.workflow import graph
from llamaberry.models.client import check_models, client_settings
from llamaberry.tool import DESCRIPTION, ToolInput

HEARTBEAT_S = 10.0
"""How often a client hears of a run while nothing happens: most give up after 60 s of silence."""

Report = Callable[[float, str], Awaitable[None]]
"""Sends a client a number that grows, and a sentence."""

_REASONS: dict[StopReason, str] = {
    "verified": "a program that was written from the question printed the same answer",
    "max_turns": "that is the number of turns it had",
    "agreement": "two turns in succession gave the same answer",
    "budget": "the token budget was used up",
    "deadline": "the deadline was reached",
    "error": "a model call failed",
    "review": "a person ended it",
}

_logger = logging.getLogger("llamaberry")


def _drop_default(schema: dict[str, Any]) -> None:
    del schema["default"]  # null, which is no integer


class ThinkInput(ToolInput, extra="forbid"):
    """The arguments of `think`."""

    turns: Annotated[int, Field(ge=1, le=10)] | SkipJsonSchema[None] = Field(
        default=None,
        description="How many turns it may take: 1 is one quick answer without a check, more take longer. "
        "Leave it out unless the user asks for it.",
        json_schema_extra=_drop_default,
    )


@with_config(ConfigDict(use_attribute_docstrings=True))
class TurnSummary(TypedDict):
    """A turn without its text."""

    index: int
    """1 for the first turn."""
    verdict: Verdict | None
    """What a refine turn decided about the answer before it."""
    answer: str | None
    """The answer that it states, if any."""
    seconds: float


@with_config(ConfigDict(use_attribute_docstrings=True))
class CheckSummary(TypedDict):
    """The check of the answer by a program."""

    verdict: CheckVerdict
    """Whether the newest turn's answer agrees with the program's; "none" if no program can answer the question."""
    answer: str | None
    """What the program printed as the answer."""


@with_config(ConfigDict(use_attribute_docstrings=True))
class ThinkResult(TypedDict):
    """The answer to a question, and how it was found."""

    answer: str
    """The answer to read."""
    concise_answer: str
    """The answer in a sentence or less."""
    stop_reason: StopReason
    """Why no further turn was taken."""
    degraded: str | None
    """What is missing because a call failed, in a sentence."""
    turns: list[TurnSummary]
    check: CheckSummary | None
    usage: Usage


INPUT_SCHEMA = ThinkInput.model_json_schema()
OUTPUT_SCHEMA = TypeAdapter(ThinkResult).json_schema()


class ThinkError(Exception):
    """A question without an answer; the message is for the model that asked, and names the remedy."""


class Think:
    """The tool: `context` has the settings of each run."""

    name = "think"
    description = DESCRIPTION

    def __init__(self, context: Context, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._context = context
        self._heartbeat_s = heartbeat_s

    async def answer(self, arguments: Mapping[str, Any], report: Report) -> tuple[str, ThinkResult]:
        """Answer a question; return the text for a model, and the result for a program.

        Raises:
            ThinkError: the arguments are invalid, the server is not set up, or the model failed.
        """
        progress = _Progress(report)
        heartbeat = asyncio.create_task(progress.repeat(self._heartbeat_s))
        try:
            state = await self._run(arguments, progress)
        except ValidationError as error:
            raise ThinkError(_describe(error, arguments)) from error
        except LlamaberryError as error:
            raise ThinkError(str(error)) from error
        except Exception as error:
            _logger.exception("the tool `think` failed")
            raise ThinkError("the server failed: its log has the cause") from error
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)
        return _text(state), _result(state)

    async def _run(self, arguments: Mapping[str, Any], progress: "_Progress") -> Output:
        """Run the graph, and return its output."""
        asked = ThinkInput.model_validate(arguments)
        context = self._context.model_copy(update={"max_turns": asked.turns} if asked.turns else {})
        await asyncio.to_thread(_check_models, context)
        stream = graph.astream(
            {"query": asked.question}, {"run_id": uuid7()}, context=context, stream_mode=["custom", "values"]
        )
        state: Any = None
        async with aclosing(cast("AsyncGenerator[tuple[str, Any]]", stream)) as parts:
            async for mode, part in parts:
                if mode == "values":
                    state = part
                else:
                    await progress.tell(part)
        return cast("Output", state)


def _check_models(context: Context) -> None:
    client_settings(context)
    check_models(context)


class _Progress:
    """Tells a client of the steps of a run. The number that it sends is the seconds since the start."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._started_at = time.monotonic()
        self._sent = 0.0
        self._step = "the start"

    async def tell(self, event: Event) -> None:
        """Send a sentence about an event of the graph."""
        match event["type"]:
            case "turn_started" | "check_started":
                step = f"turn {event['turn']}" if event["type"] == "turn_started" else f"check of turn {event['turn']}"
                self._step = f"{step}, attempt {event['attempt']}" if event["attempt"] > 1 else step
                message = f"{self._step} started"
            case "turn_finished":
                message = f"turn {event['turn']} finished: {one_line(event['answer'] or 'no answer stated')}"
            case "check_finished":
                message = f"check of turn {event['turn']} finished: {event['verdict']}"
            case "refining_ended":
                self._step = "synthesis"
                message = f"no further turn: {_REASONS[event['reason']]}; the final answer is next"
        await self._send(message)

    async def repeat(self, interval_s: float) -> None:
        """Send for ever what is running: a single call may take minutes."""
        while True:
            await asyncio.sleep(interval_s)
            await self._send(f"{self._step} is still running")

    async def _send(self, message: str) -> None:
        self._sent = max(round(time.monotonic() - self._started_at, 3), self._sent + 0.001)  # the protocol: it grows
        await self._report(self._sent, message)


def _describe(error: ValidationError, arguments: Mapping[str, Any]) -> str:
    problem = error.errors()[0]
    if problem["type"] == "missing":
        return "question is missing: pass the whole question, as a string"
    if problem["type"] == "extra_forbidden":
        return f"there is no argument {str(problem['loc'][0])[:100]!r}: use {', '.join(ThinkInput.model_fields)}"
    return describe_validation_error(error, {name: name for name in arguments})


def _text(state: Output) -> str:
    """Return the answer, and in a line why it ended there."""
    number = len(state["turns"])
    reasons = [f"It ended after {number} turn{'' if number == 1 else 's'}: {_REASONS[_stop_reason(state)]}."]
    if state["check"] and state["check"]["verdict"] == "differs":
        reasons.append(describe_check(state["check"], state["turns"]))
    if state["degraded"]:
        reasons.append(state["degraded"])
    return f"{state['answer']}\n\n({' '.join(reasons)})"


def _result(state: Output) -> ThinkResult:
    keys = TurnSummary.__annotations__
    return {
        "answer": state["answer"],
        "concise_answer": state["concise_answer"],
        "stop_reason": _stop_reason(state),
        "degraded": state["degraded"],
        "turns": [cast("TurnSummary", {key: turn[key] for key in keys}) for turn in cast("Any", state["turns"])],
        "check": _check(state["check"]),
        "usage": state["usage"],
    }


def _check(check: Check | None) -> CheckSummary | None:
    return check and {"verdict": check["verdict"], "answer": check["answer"]}


def _stop_reason(state: Output) -> StopReason:
    return cast("StopReason", state["stop_reason"])
