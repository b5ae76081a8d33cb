"""SIGKILL at any moment: finished calls are stored, and the run resumes after them."""

import asyncio
import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from llamaberry import build_graph
from testing.command import (
    ASK_IN_THREAD,
    ASK_ONE_TURN,
    LIMIT_S,
    assert_answer,
    assert_not_saved,
    assert_refused,
    llamaberry,
    run_concurrently,
    running_command,
    wait_until,
)
from testing.postgres import PASSWORD, new_database
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, program, refine, synthesis
from testing.scripts import HANG, count_nth_calls, nth_call_of

# Concurrent runs of one graph in a process that can be killed: each is an input (None: resume) and a config.
PROGRAM = """
import asyncio, json, sys
from llamaberry import build_graph

async def main(where, durability, runs):
    if "://" in where:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver as Saver
    else:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver as Saver
    async with Saver.from_conn_string(where) as saver:
        await saver.setup()
        graph = build_graph(saver)
        states = await asyncio.gather(*(graph.ainvoke(value, config, durability=durability) for value, config in runs))
    for state in states:
        state["messages"] = [(message.type, message.text) for message in state["messages"]]
    print(json.dumps(states))

asyncio.run(main(*json.loads(sys.argv[1])))
"""
NODES = {1: "first_turn", 2: "refine_turn", 3: "refine_turn", 4: "synthesize"}
Run = tuple[dict[str, str] | None, dict[str, Any]]


def program_run(where: str, durability: str, runs: Sequence[Run]) -> Any:
    """Start the program."""
    return running_command(json.dumps([where, durability, runs]), code=PROGRAM)


def run_until(condition: Callable[[], bool], *args: Any) -> None:
    """Run the program until `condition` holds, then kill it."""
    with program_run(*args) as process:
        wait_until(lambda: condition() or process.poll() is not None)
        assert process.poll() is None, process.communicate()


def run_to_end(*args: Any) -> list[dict[str, Any]]:
    with program_run(*args) as process:
        stdout, stderr = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, stderr) == (0, "")
    states: list[dict[str, Any]] = json.loads(stdout)
    return states


@contextmanager
def open_graph(where: str) -> Iterator[Any]:
    """Open the graph, in this process, with the checkpoints of the killed one."""
    saver: Any = PostgresSaver if "://" in where else SqliteSaver
    with saver.from_conn_string(where) as checkpointer:
        yield build_graph(checkpointer)


def progress_of(where: str, threads: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the next node and the number of stored turns for each thread; and the turns."""
    with open_graph(where) as graph:
        states = {thread: graph.get_state(config(thread)) for thread in threads}
    turns = {thread: state.values.get("turns", []) for thread, state in states.items()}
    return {thread: (state.next, len(turns[thread])) for thread, state in states.items()}, turns


def config(thread: str, **more: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread, **more}}


def hanging(calls: set[tuple[str, int]]) -> Callable[[Request], Reply]:
    """A good model that hangs once in each of these calls; every reply is different."""
    remaining, rng = set(calls), random.Random(0)

    def script(request: Request) -> Reply:
        if nth_call_of(request) in remaining:
            remaining.discard(nth_call_of(request))
            return Reply(hang=True)
        return Reply(f"Thought {rng.random()}.\n\n{good_model(request)}")

    return script


def new_location(saver: str, folder: Path) -> str:
    return new_database() if saver == "postgres" else str(folder / "threads.sqlite")


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("saver", ["sqlite", "postgres"])
def test_a_run_killed_in_any_call_resumes_with_that_call(
    scripted: Scripted, tmp_path: Path, saver: str, durability: str
) -> None:
    """Four threads, one killed in each call; stored turns do not change.

    With "sync" a turn is stored before the next call, with "async" during it.
    """
    where = new_location(saver, tmp_path)
    threads = [str(number) for number in NODES]
    groq = scripted(hanging({(thread, int(thread)) for thread in threads}))
    runs = [({"query": thread}, config(thread)) for thread in threads]
    expected = {thread: ((NODES[int(thread)],), int(thread) - 1) for thread in threads}

    def all_hang() -> bool:
        calling = groq.open_requests == 4 and len(groq.requests) == 10
        return calling and (durability == "sync" or progress_of(where, threads)[0] == expected)

    run_until(all_hang, where, durability, runs)
    progress, before = progress_of(where, threads)
    assert progress == expected
    after = run_to_end(where, durability, [(None, config(thread)) for thread in threads])
    for thread, state in zip(threads, after, strict=True):
        assert json.dumps(state["turns"][: int(thread) - 1]) == json.dumps(before[thread])
        assert [turn["index"] for turn in state["turns"]] == [1, 2, 3]
        assert (state["query"], state["stop_reason"], state["degraded"]) == (thread, "max_turns", None)
        assert state["messages"] == [["human", thread], ["ai", "The answer is 42."]]
    assert count_nth_calls(groq) == {(thread, n): 1 + (n == int(thread)) for thread in threads for n in NODES}


def test_a_run_killed_anywhere_repeats_no_finished_call(scripted: Scripted, tmp_path: Path) -> None:
    """Many threads, each in another state: in a call, between two, at the end. At most the running call is repeated."""
    where, rng = str(tmp_path / "threads.sqlite"), random.Random(7)
    groq = scripted(lambda request: Reply(f"{nth_call_of(request)}\n{good_model(request)}", delay=rng.uniform(0, 0.3)))
    threads = [f"Q{n}" for n in range(30)]
    runs = [({"query": thread}, config(thread)) for thread in threads]
    run_until(lambda: len(groq.requests) >= 75, where, "sync", runs)
    groq.wait(0)
    before = count_nth_calls(groq)
    assert len({n for _, n in before}) > 2
    after = run_to_end(where, "sync", [(None, config(thread)) for thread in threads])
    for thread, state in zip(threads, after, strict=True):
        assert [turn["text"].split("\n")[0] for turn in state["turns"]] == [f"('{thread}', {n})" for n in (1, 2, 3)]
        assert state["messages"] == [["human", thread], ["ai", "The answer is 42."]]
        last = max(n for name, n in before if name == thread)
        calls = [count_nth_calls(groq)[thread, n] for n in NODES]
        assert [count for n, count in zip(NODES, calls, strict=True) if n != last] == [1, 1, 1]
        assert calls[last - 1] <= 2


def test_a_run_killed_after_the_check_writes_no_second_program(scripted: Scripted, tmp_path: Path) -> None:
    where = str(tmp_path / "threads.sqlite")
    groq = scripted([first("41"), HANG, refine("42", "revise")], [program("print(6 * 7)")] * 2)
    run_until(lambda: len(groq.requests) == 2, where, "sync", [({"query": "Q"}, config("T"))])
    (state,) = run_to_end(where, "sync", [(None, config("T"))])
    assert (state["stop_reason"], state["answer"]) == ("verified", "42")
    assert (len(groq.requests), len(groq.program_requests)) == (3, 1)


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_the_same_run_id_resumes_the_same_run(scripted: Scripted, tmp_path: Path, durability: Any) -> None:
    """After a kill it resumes; after the end it returns the answer. Another run_id is another question."""
    where, question = str(tmp_path / "threads.sqlite"), {"query": "Q"}
    one: Any = config("T", run_id="11111111-1111-4111-8111-111111111111")
    other: Any = config("T", run_id="22222222-2222-4222-8222-222222222222")
    groq = scripted(hanging({("Q", 3)}))

    def third_call_hangs() -> bool:
        return len(groq.requests) == 3 and progress_of(where, ["T"])[0] == {"T": (("refine_turn",), 2)}

    await asyncio.to_thread(run_until, third_call_hangs, where, durability, [(question, one)])
    async with AsyncSqliteSaver.from_conn_string(where) as saver:
        graph = build_graph(saver)
        before = (await graph.aget_state(one)).values["turns"]
        state = await graph.ainvoke(question, one, durability=durability)
        assert (len(before), state["turns"][:2]) == (2, before)
        assert count_nth_calls(groq) == {("Q", 1): 1, ("Q", 2): 1, ("Q", 3): 2, ("Q", 4): 1}
        assert await graph.ainvoke(question, one, durability=durability) == state
        assert len(groq.requests) == 5
        again = await graph.ainvoke(question, other, durability=durability)
    assert (len(again["messages"]), len(groq.requests)) == (4, 9)


def test_durability_exit_keeps_nothing_of_a_killed_run(scripted: Scripted, tmp_path: Path) -> None:
    """It writes nothing before the end."""
    where = str(tmp_path / "threads.sqlite")
    groq = scripted(hanging({("Q", 3)}))
    run_until(lambda: len(groq.requests) == 3, where, "exit", [({"query": "Q"}, config("T"))])
    with open_graph(where) as graph:
        state = graph.get_state(config("T"))
    assert (state.created_at, state.values) == (None, {})


def test_the_command_line_stores_threads_in_postgresql(scripted: Scripted, tmp_path: Path) -> None:
    """Three questions at once on a new database, and a run that is killed and resumed."""
    where = {"LLAMABERRY_CHECKPOINTS": new_database()}
    groq = scripted([first(), first(), first(), first("41"), HANG, refine("42"), synthesis("It is 42.")])
    for run in run_concurrently(ASK_ONE_TURN, ASK_ONE_TURN, ASK_ONE_TURN, **where):
        assert_answer(run)
    with running_command("ask", "Cut?", "--turns", "2", "--thread", "T", env=os.environ | where) as process:
        wait_until(lambda: len(groq.requests) == 5)
    assert_answer(llamaberry("resume", "-q", **where), "It is 42.\n")
    assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_text_that_postgresql_cannot_store_is_answered(scripted: Scripted) -> None:
    """Text with a NUL character."""
    scripted([first("4\x002")])
    run = llamaberry(*ASK_ONE_TURN, LLAMABERRY_CHECKPOINTS=new_database())
    assert (run.returncode, run.stdout) == (0, "42\n"), run.stderr[-300:]


def test_a_postgresql_error_does_not_print_the_password(groq: ScriptedGroq) -> None:
    """Nothing listens; the password is wrong; the user may not create a table."""
    address = new_database()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'weak-password'")
    unreachable = f"postgresql://tester:{PASSWORD}@127.0.0.1:1/threads"
    weak = address.replace(f"tester:{PASSWORD}", "weak:weak-password")
    assert_refused(llamaberry(*ASK_IN_THREAD, LLAMABERRY_CHECKPOINTS=unreachable), "PostgreSQL")
    for where in (unreachable, address.replace(PASSWORD, f"wrong-{PASSWORD}"), weak):
        run = llamaberry(*ASK_ONE_TURN, LLAMABERRY_CHECKPOINTS=where)
        assert "password" not in run.stderr
        assert_not_saved(run, "PostgreSQL")
