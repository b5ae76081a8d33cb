"""`llamaberry compare`: a question answered in a single turn and in several, and what the difference is."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langgraph.types import StreamPart
from langsmith import uuid7
from rich.console import Console
from rich.text import Text

from llamaberry import threads
from llamaberry.cli.arm import answered
from llamaberry.cli.columns import Column, columns
from llamaberry.cli.display import document_of, tokens_of
from llamaberry.cli.past_run import Run, run_of
from llamaberry.console import DEGRADED, FAILURE, INTERRUPTED, as_json, one_line, plain_console, print_error
from llamaberry.graph.answers import answer_changed
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.state import Output
from llamaberry.models.local import server as local_server
from llamaberry.tracing.langsmith import tracing_session


class Arm:
    """A way to answer, and what has come of it at any moment."""

    def __init__(self, context: Context, name: str) -> None:
        self.name = name
        self.context = context
        self.run_id = uuid7()
        self.state: dict[str, Any] = {}
        self.doing = ""
        self.error: ModelError | None = None
        self.told: Callable[[], None] = lambda: None  # whom it tells that it does something else

    async def run(self, question: str, thread: str, first: Output | None = None) -> Output | None:
        """Answer, perhaps on from the first turn of another arm; None where the model failed for good."""
        metadata = {"thread_id": thread, "arm": self.name}  # the thread is of traces alone, where it holds the arms
        try:
            answer = await answered(
                question,
                self.context,
                first=first,
                config={"run_id": self.run_id, "metadata": metadata},
                watch=self._watch,
            )
        except ModelError as error:
            self.error = error
            self._does("failed")
            return None
        self._does("done")
        return answer

    @property
    def past(self) -> Run:
        """What it came to."""
        return run_of(self.name, self.state)

    @property
    def concise(self) -> str | None:
        """Its final answer, where it has one that can be compared."""
        return self.state.get("concise_answer") or None

    def _watch(self, part: StreamPart[Any, Any]) -> None:
        if part["type"] == "values":
            self.state = part["data"]
        elif part["type"] == "custom":
            event = part["data"]
            if event["type"] == "turn_started":
                again = f", attempt {event['attempt']}" if event["attempt"] > 1 else ""
                self._does(f"turn {event['turn']}{again} …")
            elif event["type"] == "refining_ended":
                self._does("synthesis …")

    def _does(self, what: str) -> None:
        self.doing = what
        self.told()


def compare(question: str, context: Context, *, shared_first: bool, json: bool, trace: bool) -> int:
    """Answer in a single turn and in `context.max_turns`, print both, and return the exit code.

    Raises as the graph does; but ModelError only where neither way came to an answer.
    """
    several = f"turns:{context.max_turns}{'+early' if context.early_stop else ''}"
    arms = [Arm(context.model_copy(update={"max_turns": 1}), "single"), Arm(context, several)]
    runs: list[str] = []
    with tracing_session(told=trace, runs=runs):
        try:
            whole = asyncio.run(_run(question, arms, shared_first, runs))
        except KeyboardInterrupt:
            whole = False
        finally:
            local_server.close()
        if errors := list(dict.fromkeys(str(arm.error) for arm in arms if arm.error)):
            if all(arm.error for arm in arms):
                raise ModelError("; ".join(errors))
            for arm in arms:
                if arm.error:
                    print_error(f"{arm.name} failed: {arm.error}")
        console = plain_console()
        if json:
            console.out(as_json(_document(question, arms, shared_first)), highlight=False)
        else:
            shown = [Column(arm.past, arm.concise, arm.error is not None) for arm in arms]
            columns(console, question, shown, _difference(arms, shared_first), shared_first=shared_first)
    if not whole:
        return INTERRUPTED
    if errors:
        return FAILURE
    return DEGRADED if any(arm.state["stop_reason"] == "error" for arm in arms) else 0


async def _run(question: str, arms: Sequence[Arm], shared_first: bool, runs: list[str]) -> bool:
    """Run the arms at the same time, or one on from the other; return whether they came to their ends."""
    thread = threads.new_name()
    single, several = arms
    try:
        with _progress(arms):
            runs.append(str(single.run_id))
            if not shared_first:
                runs.append(str(several.run_id))
                await asyncio.gather(*(arm.run(question, thread) for arm in arms))
            elif first := await single.run(question, thread):
                runs.append(str(several.run_id))
                await several.run(question, thread, first)
            else:
                several.error = single.error
    except asyncio.CancelledError:
        local_server.close()  # a thread may be waiting for it
        return False
    return True


@contextmanager
def _progress(arms: Sequence[Arm]) -> Iterator[None]:
    """Say on a terminal what each arm does at the moment."""
    console = Console(stderr=True, highlight=False)
    if not console.is_interactive:
        yield
        return
    with console.status("") as status:
        for arm in arms:
            arm.told = lambda: status.update(Text(" · ".join(f"{one.name}: {one.doing}" for one in arms if one.doing)))
        yield


def agree(one: str | None, other: str | None) -> bool | None:
    """Whether two concise answers are the same; None where there are not two."""
    return None if one is None or other is None else not answer_changed(one, other, concise=True)


def _difference(arms: Sequence[Arm], shared_first: bool) -> list[str]:
    """Return in words what the further turns changed and cost; which answer is right, nobody here knows."""
    single, several = arms
    if not all(arm.past.stop_reason for arm in arms):
        return []
    same = agree(single.concise, several.concise)
    both = f"{one_line(single.concise or '')} / {one_line(several.concise or '')}"
    told = {None: "an answer is missing", True: "the answers agree", False: f"the answers differ: {both}"}[same]
    cost = [
        f"{after / before:.1f} times the {what}"
        for what, before, after in zip(("tokens", "seconds"), _costs(single.past), _costs(several.past), strict=True)
        if before and after
    ]
    shared = ["the first turn is shared, and counted in both"] if shared_first else []
    return [told, *([f"{several.name} took {' and '.join(cost)}"] if cost else []), *shared]


def _costs(run: Run) -> tuple[int | None, float]:
    """Return tokens, None where some were not told, and seconds."""
    tokens = [node.usage["total_tokens"] for node in run.nodes if node.usage]
    return sum(tokens) if len(tokens) == len(run.nodes) else None, sum(node.seconds for node in run.nodes)


def _document(question: str, arms: Sequence[Arm], shared_first: bool) -> dict[str, Any]:
    single, several = arms
    document = {"question": question, "shared_first": shared_first, "agree": agree(single.concise, several.concise)}
    for arm in arms:
        tokens = tokens_of(node.usage for node in arm.past.nodes)
        totals = {"tokens": tokens, "seconds": round(_costs(arm.past)[1], 3)}
        error = str(arm.error) if arm.error else None
        document[arm.name] = document_of(arm.state, str(arm.run_id)) | {"totals": totals, "error": error}
    return document
