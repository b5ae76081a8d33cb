"""Run a question in one turn and in several, and print the two runs and their difference."""

import asyncio
from typing import Any

from langchain_core.runnables import RunnableConfig
from langsmith import uuid7
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from llamaberry import threads
from llamaberry.cli.display import document_of
from llamaberry.cli.tree import print_side_by_side
from llamaberry.console import DEGRADED, FAILURE, INTERRUPTED, as_json, one_line, plain_console, print_error
from llamaberry.graph.answers import answer_changed
from llamaberry.graph.calls import SYNTHESIZE, VERIFY, step_label, turn_label
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.state import Output
from llamaberry.graph.workflow import build_graph
from llamaberry.models.local import server as local_server
from llamaberry.nodes._node import Attempt, Node
from llamaberry.runs.past_run import Run, read_run
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

    async def run(self, question: str, thread: str, first: dict[str, Any] | None = None) -> None:
        """Answer the question.

        `first` is the final state of the other run: its first turn is used without a call, and counts in the budget,
        the deadline and the figures of this run, too. `thread` only groups the two runs in traces.
        """
        config: RunnableConfig = {"run_id": self.run_id, "metadata": {"thread_id": thread, "arm": self.name}}
        graph = build_graph(nodes={"first_turn": _reuse_first_turn(first)} if first else None)
        try:
            async for part in graph.astream(
                {"query": question}, config, context=self.context, stream_mode=["custom", "values"], version="v2"
            ):
                if part["type"] == "values":
                    self.state = {key: value for key, value in part["data"].items() if key in Output.__annotations__}
                elif part["type"] == "custom":
                    self._show(part["data"])
            self.status = "done"
        except ModelError as error:
            self.error, self.status = error, "failed"

    def _show(self, event: dict[str, Any]) -> None:
        if event["type"] == "turn_started":
            attempt = f", attempt {event['attempt']}" if event["attempt"] > 1 else ""
            self.status = f"{turn_label(event['turn'])}{attempt} …"
        elif event["type"] == "check_started":
            self.status = f"{step_label(VERIFY)} …"
        elif event["type"] == "refining_ended":
            self.status = f"{step_label(SYNTHESIZE)} …"

    @property
    def past_run(self) -> Run:
        """The run as `llamaberry show` reads it."""
        run = read_run(self.name, self.state)
        return run._replace(degraded="failed: there is no answer") if self.error else run


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
    name = f"turns:{context.max_turns}{'+early' if context.early_stop else ''}"
    single = ComparedRun(context.model_copy(update={"max_turns": 1}), "single")
    several = ComparedRun(context, name)
    run_ids: list[str] = []
    with tracing_session(report=trace, runs=run_ids):
        try:
            asyncio.run(_run(question, single, several, shared_first))
            complete = True
        except KeyboardInterrupt:
            complete = False
        finally:
            local_server.close()
            run_ids += [str(run.run_id) for run in (single, several) if run.status]
        failed = [run for run in (single, several) if run.error]
        if len(failed) == 2:
            raise ModelError("; ".join(dict.fromkeys(str(run.error) for run in failed)))
        for run in failed:
            print_error(f"{run.name} failed: {run.error}")
        past_runs = single.past_run, several.past_run
        agree = _agree(*past_runs)
        if json:
            document: dict[str, Any] = {"question": question, "shared_first": shared_first, "agree": agree}
            for run in (single, several):
                error = str(run.error) if run.error else None
                document[run.name] = document_of(run.state, str(run.run_id)) | {"error": error}
            plain_console().out(as_json(document), highlight=False)
        else:
            difference = _difference(*past_runs, agree)
            shared = ["the first turn is shared, and counted in both"] if shared_first and difference else []
            print_side_by_side(question, past_runs, [*difference, *shared], shared_first=shared_first)
    if not complete:
        return INTERRUPTED
    if failed:
        return FAILURE
    return DEGRADED if any(run.state["stop_reason"] == "error" for run in (single, several)) else 0


async def _run(question: str, single: ComparedRun, several: ComparedRun, shared_first: bool) -> None:
    """Run both at the same time, or the second after the first; show on a terminal what each is doing."""
    thread = threads.new_name()
    spinner = Spinner("dots", style="status.spinner")

    def status() -> Spinner:
        texts = [f"{run.name}: {run.status}" for run in (single, several) if run.status]
        spinner.update(text=Text(" · ".join(texts)))
        return spinner

    try:
        with Live(get_renderable=status, console=Console(stderr=True, highlight=False), transient=True):
            if not shared_first:
                await asyncio.gather(single.run(question, thread), several.run(question, thread))
                return
            await single.run(question, thread)
            if single.error:
                several.error = single.error
            else:
                await several.run(question, thread, single.state)
    except asyncio.CancelledError:
        local_server.close()  # a thread may be waiting for it
        raise


def _agree(single: Run, several: Run) -> bool | None:
    """Return whether the concise answers are the same, None if one is missing."""
    if single.concise_answer is None or several.concise_answer is None:
        return None
    return not answer_changed(single.concise_answer, several.concise_answer, concise=True)


def _difference(single: Run, several: Run, agree: bool | None) -> list[str]:
    """Return in words what the further turns changed and cost; nothing if a run did not end."""
    if single.stop_reason is None or several.stop_reason is None:
        return []
    both = f"{one_line(single.concise_answer or '')} / {one_line(several.concise_answer or '')}"
    verdict = {None: "an answer is missing", True: "the answers agree", False: f"the answers differ: {both}"}[agree]
    tokens_counted = all(node.call["usage"] for node in (*single.nodes, *several.nodes))
    more = single.usage["total_tokens"], several.usage["total_tokens"]
    costs = [
        ("tokens", *(more if tokens_counted else (0, 0))),
        ("cost", single.usage["cost_usd"] or 0, several.usage["cost_usd"] or 0),
        ("seconds", single.usage["seconds"], several.usage["seconds"]),
    ]
    ratios = [f"{much / little:.1f} times the {name}" for name, little, much in costs if little and much]
    words = " and ".join(filter(None, [", ".join(ratios[:-1]), *ratios[-1:]]))
    return [verdict, f"{several.thread} took {words}"] if words else [verdict]
