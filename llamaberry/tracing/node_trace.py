"""What is seen of a node from outside: its run's name, tags and metadata in every tracer, and the events it streams."""

import os
from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from llamaberry.graph.answers import answer_changed, latest_answer, normalise
from llamaberry.graph.events import Event
from llamaberry.graph.reply import reread
from llamaberry.graph.state import State, StopReason, Turn

_LONGEST = 500  # characters of an answer in the metadata: whole answers stand in the outputs


class NodeTrace:
    """One attempt of a node as it is seen from outside: in traces (LangGraph calls every refine turn by the node's
    name), and in the stream mode "custom", by `write`.
    """

    def __init__(
        self, node: str, state: State, attempt: int, config: RunnableConfig | None, write: Callable[[Event], None]
    ) -> None:
        before = reread(state.get("turns") or [])
        index = {"first_turn": 1, "refine_turn": before[-1]["index"] + 1 if before else 1}.get(node)
        self.name = f"{node} {index}" if node == "refine_turn" else node
        self.turns = len(before)
        self.before = latest_answer(before) if index != 1 else None
        self.stop_reason = state.get("stop_reason") if node == "synthesize" else None
        self.config = config or {}
        self.tags = [f"turn:{index}"] if index else []
        self.metadata: dict[str, Any] = {"kind": node.split("_")[0], "attempt": attempt}
        self.metadata |= {"turn": index} if index else {}
        for tracer, run in self._runs():
            run.name = self.name
            if span := getattr(tracer, "get_span", lambda _: None)(run.id):  # OpenTelemetry names a span as it begins
                span.update_name(self.name)
        self._note(self.tags, self.metadata)
        self.write = write

    def started(self) -> None:
        """Say that a turn is being asked for."""
        if (index := self.metadata.get("turn")) is not None:
            kind: Literal["first", "refine"] = "first" if index == 1 else "refine"
            self.write({"type": "turn_started", "turn": index, "kind": kind, "attempt": self.metadata["attempt"]})

    @property
    def call(self) -> RunnableConfig:
        """The config of the model call below the node."""
        more: RunnableConfig = {"run_name": f"{self.name} model call", "tags": self.tags, "metadata": self.metadata}
        return merge_configs(self.config, more)

    def ended(self, update: dict[str, Any], error: Exception | None = None) -> dict[str, Any]:
        """Tell what the node has come to, and return it; an `error` is one that the run as a whole gets over."""
        if error:
            for _, run in self._runs():
                run.error = str(error)
        turn: Turn | None = next(iter(update.get("turns", [])[-1:]), None) if "turn" in self.metadata else None
        told: dict[str, Any] = {"stop_reason": update.get("stop_reason") or self.stop_reason}
        answer, tags = None, []
        if turn:
            told |= {key: cast("dict[str, Any]", turn)[key] for key in ("verdict", "model", "finish_reason")}
            answer = turn["answer"]
            tags += [f"verdict:{turn['verdict']}"] if turn["verdict"] else []
        elif "answer" in update:
            written = getattr((update.get("messages") or [None])[-1], "response_metadata", {})
            told |= {key: written.get(key) for key in ("model", "finish_reason")}
            answer = update["concise_answer"] or None
        if self.before is not None and answer is not None:
            told["answer_changed"] = answer_changed(self.before, answer, concise=turn is None)
            tags += ["answer:changed"] if told["answer_changed"] else []
        self._write(turn, update.get("stop_reason") if "turn" in self.metadata else None)
        metadata = {key: value for key, value in told.items() if value is not None}
        self._note(tags, metadata, answer=answer and normalise(answer))
        return update

    def _write(self, turn: Turn | None, reason: StopReason | None) -> None:
        if turn:
            self.write(
                {
                    "type": "turn_finished",
                    "turn": turn["index"],
                    "kind": turn["kind"],
                    "verdict": turn["verdict"],
                    "answer": turn["answer"],
                    "seconds": turn["seconds"],
                    "tokens": turn["usage"]["total_tokens"] if turn["usage"] else None,
                }
            )
        if reason:
            self.write({"type": "refining_ended", "reason": reason, "turns": turn["index"] if turn else self.turns})

    def _note(self, tags: list[str], metadata: dict[str, Any], answer: str | None = None) -> None:
        for tracer, run in self._runs():
            seen = {"normalised_answer": answer[:_LONGEST]} if answer and not _hides(tracer) else {}
            run.tags = [*(run.tags or []), *tags]
            run.extra["metadata"] = run.metadata | metadata | seen  # a dict of its own: tracers may share one

    def _runs(self) -> Iterator[tuple[BaseTracer, Run]]:
        manager = self.config.get("callbacks")
        if isinstance(manager, BaseCallbackManager):
            for tracer in manager.handlers:
                if isinstance(tracer, BaseTracer) and (run := tracer.run_map.get(str(manager.parent_run_id))):
                    yield tracer, run


def _hides(tracer: BaseTracer) -> bool:
    """Whether this tracer was told to send no outputs: an answer in the metadata would be one."""
    hidden = getattr(getattr(tracer, "client", None), "_hide_outputs", False)
    hide = (f"OPENINFERENCE_HIDE_{what}" for what in ("OUTPUTS", "OUTPUT_MESSAGES", "OUTPUT_TEXT"))
    return bool(hidden) or any(os.environ.get(name, "").lower() == "true" for name in hide)
