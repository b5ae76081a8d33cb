"""A run as typed events, for a front end: what happens, each piece of a reply, and the output."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, StreamMode
from typing_extensions import TypedDict

from llamaberry.graph.context import Context
from llamaberry.graph.events import Event, step_of
from llamaberry.graph.state import Output
from llamaberry.graph.workflow import ReasoningGraph

_MODES: list[StreamMode] = ["messages", "custom", "values"]


class Token(TypedDict):
    """A piece of a model's reply.

    `step` names the call: "turn 2", "check", "synthesis", for a retry "turn 2, attempt 2". `turn` is None outside of a
    turn. The reply of a "check" is a program, which `check_finished` has, too.
    """

    type: Literal["token"]
    step: str
    turn: int | None
    attempt: int
    text: str


class RunPaused(TypedDict):
    """The last event of a run that waits for a review: its interrupts, whose `value` says what is asked."""

    type: Literal["run_paused"]
    interrupts: tuple[Interrupt, ...]


class RunFinished(TypedDict):
    """The last event of a run that has ended."""

    type: Literal["run_finished"]
    output: Output


StreamEvent = Event | Token | RunPaused | RunFinished


def stream_events(
    graph: ReasoningGraph, input: Any, config: RunnableConfig | None = None, *, context: Context | None = None
) -> Generator[StreamEvent]:
    """Run the graph, and yield its events; `event["type"]` tells them apart, also to a type checker.

    The input is that of `graph.invoke`: a question, `Command(resume=…)` after a RunPaused, or None to go on. The last
    event is a RunFinished or a RunPaused. What nodes of your own write to the stream mode "custom" is passed on as it
    is. If you leave early (`break`), the run ends when the generator is closed; `contextlib.closing` does that at once.

    Raises:
        SetupError, ModelError, pydantic.ValidationError: as `graph.invoke`.
    """
    run = _Run()
    with closing(_parts(graph.stream, input, config, context)) as parts:
        for part in parts:
            yield from run.events(part)
    yield run.end()


async def astream_events(
    graph: ReasoningGraph, input: Any, config: RunnableConfig | None = None, *, context: Context | None = None
) -> AsyncGenerator[StreamEvent]:
    """Do as `stream_events` in this event loop; `contextlib.aclosing` closes the generator at once."""
    run = _Run()
    async with aclosing(_parts(graph.astream, input, config, context)) as parts:
        async for part in parts:
            for event in run.events(part):
                yield event
    yield run.end()


def _parts(stream: Any, input: Any, config: RunnableConfig | None, context: Context | None) -> Any:
    keys = [*Output.__annotations__]
    return stream(input, config, context=context, stream_mode=_MODES, output_keys=keys, version="v2")


class _Run:
    """Turns the parts of a stream into events."""

    def __init__(self) -> None:
        self._output: Any = {}
        self._interrupts: tuple[Interrupt, ...] = ()

    def events(self, part: Any) -> list[StreamEvent]:
        """Return the events in a part; the end of the run is not among them."""
        if part["type"] == "custom":
            return [part["data"]]
        if part["type"] == "values":
            self._output, self._interrupts = part["data"], part["interrupts"]
            return []
        message, metadata = part["data"]
        if not message.text or not (step := step_of(metadata)):
            return []
        turn, attempt = metadata.get("turn"), metadata["attempt"]
        return [{"type": "token", "step": step, "turn": turn, "attempt": attempt, "text": message.text}]

    def end(self) -> RunPaused | RunFinished:
        """Return the last event."""
        if self._interrupts:
            return {"type": "run_paused", "interrupts": self._interrupts}
        return {"type": "run_finished", "output": self._output}
