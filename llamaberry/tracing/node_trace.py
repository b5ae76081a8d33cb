"""The run of a node in every tracer: its name, tags and metadata."""

import os
from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any, Self

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.constants import TAG_NOSTREAM

from llamaberry.graph.answers import answer_changed, latest_answer, normalise
from llamaberry.graph.calls import STRUCTURE, call_cost_usd, step_label
from llamaberry.graph.state import State
from llamaberry.graph.turn import Turn

MAX_ANSWER_CHARS = 500
"""The longest answer in the metadata; the outputs have it whole."""


class NodeTrace:
    """One attempt of a node in the traces, where LangGraph would call every refine turn by the same name."""

    def __init__(self, node: str, turn: int | None, attempt: int, config: RunnableConfig | None) -> None:
        """Name the node's run as people see it elsewhere, such as "turn 2".

        `turn` is the index of the turn that the node writes; None if it writes none.
        """
        self.step = f"{node} {turn}" if node == "refine_turn" else node
        self.name = step_label(self.step)
        self.node = node
        self.turn = turn
        self.config = config or {}
        self._tags = [f"turn:{turn}"] if turn else []
        self._metadata: dict[str, Any] = {"kind": node.split("_")[0], "attempt": attempt} | (
            {"turn": turn} if turn else {}
        )
        for tracer, run in self._runs():
            run.name = self.name
            if span := getattr(tracer, "get_span", lambda _: None)(run.id):  # OpenTelemetry names a span at its start
                span.update_name(self.name)
        self._add(self._tags, self._metadata)

    def beside(self, node: str) -> Self:
        """Return the trace of another step's model call, which is made below this node and is not streamed."""
        other = copy(self)
        other.step = other.node = node
        other.name, other.turn, other._tags = step_label(node), None, [TAG_NOSTREAM]
        other._metadata = {"kind": node, "attempt": self._metadata["attempt"]}
        return other

    @property
    def call_config(self) -> RunnableConfig:
        """The config of the model call below the node."""
        # The answer as JSON is no message to read: LangGraph leaves it out of the stream of messages.
        tags = [*self._tags, TAG_NOSTREAM] if self.node == STRUCTURE else self._tags
        call: RunnableConfig = {"run_name": f"{self.name} model call", "tags": tags, "metadata": self._metadata}
        return merge_configs(self.config, call)

    def fail(self, error: Exception) -> None:
        """Mark the node as failed, though the run goes on."""
        for _, run in self._runs():
            run.error = str(error)

    def finish(self, state: State, update: Mapping[str, Any], turn: Turn | None) -> None:
        """Record what the node wrote: `turn`, or the check or synthesis in `update`. `state` is what the node read."""
        metadata: dict[str, Any] = {"stop_reason": update.get("stop_reason")}
        answer, tags = None, []
        if turn:
            metadata |= {"verdict": turn["verdict"], "model": turn["model"], "finish_reason": turn["finish_reason"]}
            answer = turn["answer"]
            tags += [f"verdict:{turn['verdict']}"] if turn["verdict"] else []
        elif not self.turn:
            for call in update.get("calls") or []:
                metadata |= {"model": call["model"], "finish_reason": call["finish_reason"]}
            if "answer" in update:
                metadata["stop_reason"] = metadata["stop_reason"] or state.get("stop_reason")
                answer = update.get("concise_answer") or None
        outputs: dict[str, Any] = {}
        if self.node == "verify" and (check := update.get("check")):
            metadata["verdict"] = check["verdict"]
            tags.append(f"check:{check['verdict']}")
            outputs = {key: check[key] for key in ("program", "output", "error") if check[key] is not None}
        costs = [call_cost_usd(call) for call in update.get("calls") or []]
        if costs and None not in costs:
            metadata["cost_usd"] = sum(cost for cost in costs if cost)
        before = latest_answer(state.get("turns") or [])
        if before is not None and answer is not None:
            metadata["answer_changed"] = answer_changed(before, answer, concise=turn is None)
            tags += ["answer:changed"] if metadata["answer_changed"] else []
        metadata = {key: value for key, value in metadata.items() if value is not None}
        if answer:
            outputs["normalised_answer"] = normalise(answer)[:MAX_ANSWER_CHARS]
        self._add(tags, metadata, outputs)

    def _add(self, tags: list[str], metadata: dict[str, Any], outputs: Mapping[str, Any] | None = None) -> None:
        """Add tags and metadata to the runs; `outputs` are left out where a tracer hides a run's outputs."""
        for tracer, run in self._runs():
            visible = dict(outputs or {}) if not _hides_outputs(tracer) else {}
            run.tags = [*(run.tags or []), *tags]
            run.extra["metadata"] = run.metadata | metadata | visible  # a new dict: tracers may share the old one

    def _runs(self) -> Iterator[tuple[BaseTracer, Run]]:
        manager = self.config.get("callbacks")
        if isinstance(manager, BaseCallbackManager):
            for tracer in manager.handlers:
                if isinstance(tracer, BaseTracer) and (run := tracer.run_map.get(str(manager.parent_run_id))):
                    yield tracer, run


def _hides_outputs(tracer: BaseTracer) -> bool:
    """Return whether this tracer sends no outputs: an answer in the metadata would be one."""
    hidden = getattr(getattr(tracer, "client", None), "_hide_outputs", False)
    names = (f"OPENINFERENCE_HIDE_{part}" for part in ("OUTPUTS", "OUTPUT_MESSAGES", "OUTPUT_TEXT"))
    return bool(hidden) or any(os.environ.get(name, "").lower() == "true" for name in names)
