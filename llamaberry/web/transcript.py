"""The messages of a run while it goes on: each event changes them."""

import time
from collections.abc import Callable
from typing import Any, cast

from llamaberry.graph.check import Check, describe_check
from llamaberry.graph.events import CheckFinished, TurnFinished
from llamaberry.graph.review import Pause
from llamaberry.graph.thoughts import without_thoughts
from llamaberry.graph.tool_calls import ToolCall
from llamaberry.graph.turn import Turn
from llamaberry.stream import StreamEvent
from llamaberry.web.escape import reply_markdown, words
from llamaberry.web.messages import (
    Message,
    check_content,
    check_title,
    reply_message,
    run_messages,
    thought,
    turn_content,
    turn_title,
)


class Transcript:
    """The messages of one question. `state` is what is stored of it if the run was paused or interrupted before."""

    def __init__(self, thread: str, state: dict[str, Any], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.thread = thread
        self.paused: Pause | None = None
        self.ended = False
        """Whether the last event has come: the run has ended, or waits for a review."""
        self._messages = run_messages(thread, state)
        self._answers: dict[int, str | None] = {turn["index"]: turn["answer"] for turn in state.get("turns") or []}
        self._step = ""  # the title of the step that is not finished, "" without one
        self._text = ""  # of its reply, as far as it is written
        self._tool_calls: list[ToolCall] = []
        self._program: str | None = (state.get("check") or {}).get("program")
        self._clock = clock
        self._started_at = clock()

    @property
    def messages(self) -> list[Message]:
        """The question, a thought for each step, and what is below them."""
        if not self._step:
            return [*self._messages]
        seconds = f"{self._seconds():.0f} s" if self._seconds() >= 1 else ""
        return [*self._messages, thought(self._step, reply_markdown(without_thoughts(self._text)), log=seconds)]

    def add(self, event: StreamEvent) -> bool:
        """Change the messages as the event says; return whether it is more than another piece of a reply.

        Events of a user's own nodes change nothing.
        """
        is_new, self.ended = event["type"] != "token", event["type"] in ("run_paused", "run_finished")
        match event["type"]:
            case "turn_started":
                self._begin("Turn", event["turn"], event["attempt"])
                self._tool_calls = []
            case "check_started":
                self._begin("Check of turn", event["turn"], event["attempt"])
            case "token":
                if event["step"].startswith("synthesis") and self._step != event["step"].capitalize():
                    self._settle()
                    self._step, self._started_at, is_new = event["step"].capitalize(), self._clock(), True
                self._text += event["text"]
            case "tool_finished":
                self._tool_calls.append(cast("ToolCall", event))
                self._text = ""
            case "turn_finished":
                self._finish_turn(event)
            case "check_finished":
                self._finish_check(event)
            case "run_paused":
                self._settle()
                self.paused = event["interrupts"][0].value
                self._messages.append(reply_message(_question_of(event["interrupts"][0].value)))
            case "run_finished":
                self._step = ""
                self._messages = run_messages(self.thread, cast("dict[str, Any]", event["output"]))
        return is_new

    def end(self, reason: str) -> None:
        """Say as markdown why the run has ended before its answer; no thought stays pending."""
        self._settle()
        self._messages.append(reply_message(reason))

    def _begin(self, name: str, turn: int, attempt: int) -> None:
        self._settle()
        self._step = f"{name} {turn}, attempt {attempt}" if attempt > 1 else f"{name} {turn}"
        self._started_at = self._clock()

    def _settle(self) -> None:
        """End the thought of a step that was not finished: a retry follows, or nothing."""
        if self._step:
            self._finish(f"{self._step} · not finished", reply_markdown(without_thoughts(self._text)), self._seconds())

    def _finish(self, title: str, content: str, seconds: float, log: str = "") -> None:
        self._messages.append(thought(title, content, seconds=seconds, log=log))
        self._step, self._text = "", ""

    def _seconds(self) -> float:
        return self._clock() - self._started_at

    def _finish_turn(self, event: TurnFinished) -> None:
        before = self._answers.get(event["turn"] - 1)
        self._answers[event["turn"]] = event["answer"]
        title = turn_title(f"Turn {event['turn']}", event["verdict"], before, event["answer"])
        content = turn_content(without_thoughts(self._text), before, event["answer"], self._tool_calls)
        tokens = f"{event['tokens']:,} tokens" if event["tokens"] else ""
        self._finish(title, content, event["seconds"], tokens)

    def _finish_check(self, event: CheckFinished) -> None:
        turn = cast("Turn", {"index": event["turn"], "answer": self._answers.get(event["turn"])})
        sentence = describe_check(cast("Check", event), [turn])
        program = event["program"] if event["program"] != self._program else None
        self._program = event["program"]
        content = check_content(program, event["output"], sentence)
        self._finish(check_title(sentence), content, self._seconds())


def _question_of(pause: Pause) -> str:
    """Return what a pause asks, as markdown."""
    turn = pause["turn"]
    following = "another turn" if pause["next"] == "refine_turn" else "the final answer"
    problem = f"\n\n{words(pause['problem'])}" if pause["problem"] else ""
    answer = words(turn["answer"]) if turn["answer"] else "it states none"
    return f"**Your review of turn {turn['index']}** Its answer: {answer}. Next is {following}.{problem}"
