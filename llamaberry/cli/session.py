"""A question from the command line, printed while it is answered, with pauses for a person."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, cast

from langgraph.types import Interrupt

from llamaberry.cli.display import Display
from llamaberry.cli.options import OutputMode
from llamaberry.cli.review_prompt import ask_decision
from llamaberry.console import DEGRADED, INTERRUPTED, print_error
from llamaberry.graph.calls import NO_USAGE, SYNTHESIZE, VERIFY, step_label, turn_label
from llamaberry.graph.errors import LlamaberryError
from llamaberry.graph.state import Output
from llamaberry.graph.tool_calls import ToolCall

Decisions = dict[str, dict[str, str]]
"""The fields of a Decision, by the id of its pause."""


class Session(ABC):
    """A question, printed while it is answered, with pauses for a person; subclasses run the graph.

    `thread` is the thread's name, None until it has one; `resume_hint` says how to continue after Ctrl-C. Errors are
    those of the graph: ValidationError, SetupError, ModelError.
    """

    def __init__(self, mode: OutputMode, thread: str | None) -> None:
        self.display = Display(mode)
        self.thread = thread
        self.resume_hint = ""
        self.state: dict[str, Any] = {}
        self.is_current = False  # until its first turn, a thread holds the turns and answer of the previous question

    def run(self, first: Coroutine[Any, Any, Interrupt | None]) -> int:
        """Run to the end, with a person's decision at each pause; print the result and return the exit code."""
        run, seconds = first, 0.0  # seconds without the pauses
        self.display.waiting("starting")
        try:
            while True:
                started_at = time.monotonic()
                try:
                    pause = asyncio.run(run)
                finally:
                    seconds += time.monotonic() - started_at
                if pause is None:
                    break
                self.display.stop_waiting()
                if (decision := ask_decision(pause.value)) is None:
                    raise KeyboardInterrupt
                # The id matters: another process may have answered this pause already, and reached the next one.
                run = self.resume({pause.id: decision})
        except KeyboardInterrupt:
            if self.display.run_ids:
                self.display.result(self.state, seconds=seconds, complete=False)
            if self.resume_hint:
                print_error(self.resume_hint)
            return INTERRUPTED
        except LlamaberryError:
            self.display.end_line()  # the error's message is printed below what was written
            raise
        finally:
            self.display.stop_waiting()
        self.display.result(self.state, seconds=seconds, complete=True)
        return DEGRADED if self.state["stop_reason"] == "error" else 0

    def update_state(self, values: dict[str, Any]) -> None:
        """Store the values that belong to this question, and print its new turns."""
        keys = Output.__annotations__ if self.is_current else ("query", "messages")
        self.state |= {key: values[key] for key in keys if key in values}
        for turn in self.state.get("turns", []):
            self.display.turn(turn)

    def handle_event(self, event: dict[str, Any]) -> None:
        """Show what the graph's event says is waited for, or print the tool call that has ended."""
        if event.get("type") == "tool_finished":
            self.display.tool(cast("ToolCall", event))
        turn = turn_label(event["turn"]) if "turn" in event else ""
        steps = {"turn_started": turn, "check_started": step_label(VERIFY), "refining_ended": step_label(SYNTHESIZE)}
        steps |= {"tool_started": f"{turn} · {event.get('name')}", "tool_finished": turn}
        if step := steps.get(event.get("type", "")):
            self.display.waiting(step, self.state.get("usage", NO_USAGE)["total_tokens"] if self.is_current else 0)

    def update_node(self, update: dict[str, Any]) -> None:
        """Print what verify wrote, before the state has it."""
        self.is_current = True
        written = update.get("verify")
        if isinstance(written, dict) and written.get("check") and self.state.get("turns"):
            self.display.check(written["check"], self.state["turns"][-1])

    @abstractmethod
    async def start(self, question: dict[str, Any]) -> Interrupt | None:
        """Run to the end or to a pause, and return the pause. `question` is the graph's input."""

    @abstractmethod
    async def resume(self, decisions: Decisions) -> Interrupt | None:
        """Continue after a pause, to the end or to the next pause, and return that pause."""
