"""What is in the stored threads: their names, the status of each, the questions of one."""

from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from llamaberry.graph.errors import SetupError
from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.threads.location import Status, no_thread, no_threads, unfinished_status
from llamaberry.threads.locks import exclusive_thread, is_running
from llamaberry.threads.old_states import question_values
from llamaberry.threads.storage import require_checkpointer


class Thread(NamedTuple):
    """A thread, by its newest checkpoint."""

    name: str
    state: StateSnapshot
    running: bool = False
    """Whether a living run uses it."""

    @property
    def unfinished(self) -> bool:
        """Whether its last run did not end, and can be resumed unless it is still running."""
        # `next` would not do: it is also empty after a kill between a node's writes and the next checkpoint.
        return bool(self.state.tasks)

    @property
    def status(self) -> Status:
        """How its last run stands."""
        if self.running:
            return "running"
        if not self.unfinished:
            return "answered"
        errors = [str(task.error) for task in self.state.tasks if task.error]
        return unfinished_status(errors, paused=bool(self.state.interrupts))

    @property
    def values(self) -> dict[str, Any]:
        """The state of its last question."""
        return current_values(self.state)


def current_values(state: StateSnapshot) -> dict[str, Any]:
    """Return the values of a checkpoint; before a question's first turn, without those of the previous question."""
    return question_values(state.values, state.next[0] if state.next else None)


def thread_config(name: str, **metadata: str) -> RunnableConfig:
    """Return the config of a run on the thread; `metadata` goes to the metadata of its checkpoints."""
    return {"configurable": {"thread_id": name, **metadata}, "metadata": {"thread_id": name}}


async def list_threads(graph: ReasoningGraph) -> list[Thread]:
    """Return all threads, newest first."""
    names: dict[str, None] = {}
    async for point in require_checkpointer(graph).alist(None):
        names.setdefault(point.config["configurable"]["thread_id"])
    threads = [await _read(graph, name) for name in names]
    return sorted(threads, key=lambda thread: thread.state.created_at or "", reverse=True)


async def find_thread(graph: ReasoningGraph, name: str) -> Thread:
    """Return the thread of this name; raise SetupError if it does not exist."""
    require_checkpointer(graph)
    thread = await _read(graph, name)
    if thread.state.created_at is None:
        raise no_thread(name)
    return thread


async def _read(graph: ReasoningGraph, name: str) -> Thread:
    # A run that ends or starts while its state is read must not look interrupted.
    running = await is_running(graph, name)
    state = await graph.aget_state(thread_config(name))
    return Thread(name, state, running or await is_running(graph, name))


async def newest_name(graph: ReasoningGraph) -> str:
    """Return the name of the newest thread; raise SetupError if there is none."""
    require_checkpointer(graph)
    stored = await list_threads(graph)
    if not stored:
        raise no_threads()
    return stored[0].name


async def newest_unfinished(graph: ReasoningGraph) -> str:
    """Return the name of the newest thread that can be resumed; raise SetupError if there is none."""
    unfinished = [thread for thread in await list_threads(graph) if thread.unfinished]
    for thread in unfinished:
        if not thread.running:
            return thread.name
    running = f" (thread {unfinished[0].name!r} is still running)" if unfinished else ""
    raise SetupError(f"no thread was interrupted{running}: `llamaberry history` lists all threads")


async def question_states(graph: ReasoningGraph, name: str) -> list[dict[str, Any]]:
    """Return the last state of each question of the thread, oldest first; an interrupted one is included."""
    states: list[dict[str, Any]] = []
    newest = True
    async for point in graph.aget_state_history(thread_config(name)):
        if newest or not point.next:
            states.append(current_values(point))
        newest = False
    return states[::-1]


async def forget(graph: ReasoningGraph, name: str) -> int:
    """Delete the thread with all its checkpoints, and return how many questions it had.

    Raises:
        SetupError: there is no such thread, or it is running.
    """
    await find_thread(graph, name)
    async with exclusive_thread(graph, name):
        count = len(await question_states(graph, name))
        await require_checkpointer(graph).adelete_thread(name)
    return count
