"""Run a question in one turn and in several, and print the two runs and their difference."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StreamPart
from langsmith import uuid7
from rich.console import Console
from rich.text import Text

from llamaberry import threads
from llamaberry.cli.columns import Column, print_columns
from llamaberry.cli.display import document_of
from llamaberry.cli.past_run import Run, read_run
from llamaberry.console import DEGRADED, FAILURE, INTERRUPTED, as_json, one_line, plain_console, print_error
from llamaberry.graph.answers import answer_changed
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.workflow import build_graph
from llamaberry.models.local import server as local_server
from llamaberry.nodes._node import Attempt, Node
from llamaberry.tracing.langsmith import tracing_session


class ComparedRun:
    """One of the two runs; no thread stores it."""

    def __init__(self, context: Context, name: str) -> None:
        self.name = name
        self.context = context
        self.run_id = uuid7()
        self.state: dict[str, Any] = {}
        self.status = ""
        self.error: ModelError | None = None
        self.on_status: Callable[[], None] = lambda: None  # called when `status` changes

    async def run(self, question: str, thread: str, first: dict[str, Any] | None = None) -> bool:
        """Answer the question; return whether it has an answer.

        `first` is the final state of the other run: its first turn is used without a call, and counts in the budget,
        the deadline and the figures of this run, too. `thread` only groups the two runs in traces.
        """
        config: RunnableConfig = {"run_id": self.run_id, "metadata": {"thread_id": thread, "arm": self.name}}
        graph = build_graph(nodes={"first_turn": _reuse_first_turn(first)} if first else None)
        stream = graph.astream(
            {"query": question}, config, context=self.context, stream_mode=["custom", "values"], version="v2"
        )
        try:
            async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
                async for part in parts:
                    self._update(part)
        except ModelError as error:
            self.error = error
            self._set_status("failed")
            return False
        self._set_status("done")
        return True

    @property
    def past_run(self) -> Run:
        """The run as `llamaberry show` reads it."""
        return read_run(self.name, self.state)

    @property
    def concise_answer(self) -> str | None:
        """The final answer in a form that can be compared, None if there is none."""
        return self.state.get("concise_answer") or None

    def _update(self, part: StreamPart[Any, Any]) -> None:
        if part["type"] == "values":
            self.state = part["data"]
        elif part["type"] == "custom":
            event = part["data"]
            if event["type"] == "turn_started":
                attempt = f", attempt {event['attempt']}" if event["attempt"] > 1 else ""
                self._set_status(f"turn {event['turn']}{attempt} …")
            elif event["type"] == "refining_ended":
                self._set_status("synthesis …")

    def _set_status(self, status: str) -> None:
        self.status = status
        self.on_status()


def _reuse_first_turn(run: dict[str, Any]) -> Node:
    """Return a first_turn node that copies the turn of another run; a trace shows it without a model call."""

    def update(attempt: Attempt, reply: object) -> dict[str, Any]:
        question = run["messages"][:-1]  # without that run's answer
        return {"messages": question, "turns": run["turns"][:1], "calls": run["calls"][:1]}

    return Node(lambda attempt: None, update)


def compare(question: str, context: Context, *, shared_first: bool, json: bool, trace: bool) -> int:
    """Answer in one turn and in `context.max_turns`, print both runs, and return the exit code.

    Raises as the graph does; ModelError only if neither run has an answer.
    """
    several = f"turns:{context.max_turns}{'+early' if context.early_stop else ''}"
    runs = [ComparedRun(context.model_copy(update={"max_turns": 1}), "single"), ComparedRun(context, several)]
    run_ids: list[str] = []
    with tracing_session(report=trace, runs=run_ids):
        try:
            complete = asyncio.run(_run(question, runs, shared_first, run_ids))
        except KeyboardInterrupt:
            complete = False
        finally:
            local_server.close()
        if errors := list(dict.fromkeys(str(run.error) for run in runs if run.error)):
            if all(run.error for run in runs):
                raise ModelError("; ".join(errors))
            for run in runs:
                if run.error:
                    print_error(f"{run.name} failed: {run.error}")
        console = plain_console()
        if json:
            console.out(as_json(_document(question, runs, shared_first)), highlight=False)
        else:
            columns = [Column(run.past_run, run.concise_answer, run.error is not None) for run in runs]
            print_columns(console, question, columns, _difference(runs, shared_first), shared_first=shared_first)
    if not complete:
        return INTERRUPTED
    if errors:
        return FAILURE
    return DEGRADED if any(run.state["stop_reason"] == "error" for run in runs) else 0


async def _run(question: str, runs: Sequence[ComparedRun], shared_first: bool, run_ids: list[str]) -> bool:
    """Run both at the same time, or the second after the first; return False if they were interrupted."""
    thread = threads.new_name()
    single, several = runs
    try:
        with _status_line(runs):
            run_ids.append(str(single.run_id))
            if not shared_first:
                run_ids.append(str(several.run_id))
                await asyncio.gather(*(run.run(question, thread) for run in runs))
            elif await single.run(question, thread):
                run_ids.append(str(several.run_id))
                await several.run(question, thread, single.state)
            else:
                several.error = single.error
    except asyncio.CancelledError:
        local_server.close()  # a thread may be waiting for it
        return False
    return True


@contextmanager
def _status_line(runs: Sequence[ComparedRun]) -> Iterator[None]:
    """Show on a terminal what each run is doing."""
    console = Console(stderr=True, highlight=False)
    if not console.is_interactive:
        yield
        return
    with console.status("") as line:

        def update() -> None:
            line.update(Text(" · ".join(f"{run.name}: {run.status}" for run in runs if run.status)))

        for run in runs:
            run.on_status = update
        yield


def same_answer(one: str | None, other: str | None) -> bool | None:
    """Return whether two concise answers are the same, None if one is missing."""
    return None if one is None or other is None else not answer_changed(one, other, concise=True)


def _difference(runs: Sequence[ComparedRun], shared_first: bool) -> list[str]:
    """Return in words what the further turns changed and cost."""
    single, several = runs
    if not all(run.past_run.stop_reason for run in runs):
        return []
    same = same_answer(single.concise_answer, several.concise_answer)
    both = f"{one_line(single.concise_answer or '')} / {one_line(several.concise_answer or '')}"
    verdict = {None: "an answer is missing", True: "the answers agree", False: f"the answers differ: {both}"}[same]
    ratios = [
        f"{after / before:.1f} times the {unit}"
        for unit, before, after in zip(
            ("tokens", "seconds"), _costs(single.past_run), _costs(several.past_run), strict=True
        )
        if before and after
    ]
    cost = [f"{several.name} took {' and '.join(ratios)}"] if ratios else []
    return [verdict, *cost, *(["the first turn is shared, and counted in both"] if shared_first else [])]


def _costs(run: Run) -> tuple[int | None, float]:
    """Return the tokens, None if a provider did not count them, and the seconds."""
    counted = all(node.call["usage"] for node in run.nodes)
    return run.usage["total_tokens"] if counted else None, run.usage["seconds"]


def _document(question: str, runs: Sequence[ComparedRun], shared_first: bool) -> dict[str, Any]:
    single, several = runs
    agree = same_answer(single.concise_answer, several.concise_answer)
    document: dict[str, Any] = {"question": question, "shared_first": shared_first, "agree": agree}
    for run in runs:
        error = str(run.error) if run.error else None
        document[run.name] = document_of(run.state, str(run.run_id)) | {"error": error}
    return document
