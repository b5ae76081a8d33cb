"""What the commands that only read or delete threads need: from SQLite without LangGraph, elsewhere with it."""

import asyncio
from typing import Any, NamedTuple

from llamaberry import file_lock
from llamaberry.threads import plain
from llamaberry.threads.location import (
    Status,
    checkpoint_location,
    lock_path,
    no_threads,
    threads_off,
    unfinished_status,
)


class Summary(NamedTuple):
    """A thread in a list: its name, status, newest question and answer."""

    thread: str
    created_at: str
    status: Status
    question: str
    answer: str


def summaries() -> list[Summary]:
    """Return all threads, the newest first."""
    location = checkpoint_location()
    if _is_elsewhere(location):
        return asyncio.run(_stored_summaries())
    return [_summary(location, name) for name in plain.read_threads(location)]


class Questions(NamedTuple):
    """What was asked on a thread: the last state of each question, the oldest first, without the first `skipped`."""

    thread: str
    skipped: int
    states: list[dict[str, Any]]


def questions(name: str, *, only_newest: bool = False) -> Questions:
    """Return the questions of the thread, or only its newest one.

    The name "last" is that of the newest thread.

    Raises:
        SetupError: there is no such thread.
    """
    location = checkpoint_location()
    if _is_elsewhere(location):
        name, states = asyncio.run(_stored_questions(name))
        skipped = len(states) - 1 if only_newest else 0
        return Questions(name, skipped, states[skipped:])
    if name == "last":
        threads = plain.read_threads(location)
        if not threads:
            raise no_threads()
        name = threads[0].newest.thread
    return Questions(name, *plain.read_questions(location, name, only_newest=only_newest))


def forget(name: str) -> int:
    """Delete the thread, and return how many questions it had.

    Raises:
        SetupError: there is no such thread, or it is running.
    """
    location = checkpoint_location()
    return asyncio.run(_forget_stored(name)) if _is_elsewhere(location) else plain.delete_thread(location, name)


def _is_elsewhere(location: str) -> bool:
    """Whether the threads are in PostgreSQL. Raises SetupError if there are none."""
    if location == "none":
        raise threads_off()
    return "://" in location


def _summary(location: str, thread: plain.PlainThread) -> Summary:
    newest = thread.newest
    running = file_lock.is_locked(lock_path(location, newest.thread))
    status: Status = "answered"
    if running:
        status = "running"
    elif newest.next_node:
        status = unfinished_status(thread.errors, paused=thread.paused)
    is_new = newest.next_node in ("__start__", "first_turn")  # then the answer is that of the question before
    answer = "" if is_new else newest.values.get("answer") or ""
    return Summary(newest.thread, newest.created_at, status, newest.values.get("query") or "", answer)


async def _stored_summaries() -> list[Summary]:
    from llamaberry import threads

    async with threads.open_graph() as graph:
        return [
            Summary(
                thread.name,
                str(thread.state.created_at or ""),
                thread.status,
                thread.state.values.get("query") or "",
                thread.values.get("answer") or "",
            )
            for thread in await threads.list_threads(graph)
        ]


async def _stored_questions(name: str) -> tuple[str, list[dict[str, Any]]]:
    from llamaberry import threads

    async with threads.open_graph() as graph:
        if name == "last":
            name = await threads.newest_name(graph)
        await threads.find_thread(graph, name)
        return name, await threads.question_states(graph, name)


async def _forget_stored(name: str) -> int:
    from llamaberry import threads

    async with threads.open_graph() as graph:
        return await threads.forget(graph, name)
