"""Threads whose stored state is unusual: ids from the future, and keys that are missing."""

import copy
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import Checkpoint
from langgraph.checkpoint.base.id import UUID
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver

from llamaberry import Context, build_graph
from llamaberry.cli.tree import print_runs
from llamaberry.runs.page import page
from llamaberry.runs.past_run import read_run
from llamaberry.threads.old_states import complete
from testing.command import (
    ASK_IN_THREAD,
    ASK_ONE_TURN,
    assert_answer,
    assert_refused,
    llamaberry,
    run_concurrently,
    signal_during_call,
)
from testing.postgres import new_database
from testing.scripted_groq import Scripted, ScriptedGroq, first, program, refine, synthesis
from testing.scripts import HANG

THREAD: Any = {"configurable": {"thread_id": "T", "checkpoint_ns": ""}}
TICKS_PER_DAY = 24 * 3600 * 10_000_000


def later_id(checkpoint_id: str, ticks: int) -> str:
    """Return the id of a checkpoint that was stored this much later."""
    time = UUID(checkpoint_id).time + ticks
    return str(uuid.UUID(int=(time >> 12) << 80 | 6 << 76 | (time & 0xFFF) << 64 | 0x8000 << 48 | 1))


def store_later(saver: Any, ticks: int = 0, checkpoint_id: str | None = None) -> str:
    """Store the thread's newest checkpoint again under a later id, as a host with another clock would."""
    newest = saver.get_tuple(THREAD)
    checkpoint: Checkpoint = newest.checkpoint
    new_id = checkpoint_id or later_id(checkpoint["id"], ticks)
    saver.put(newest.config, {**checkpoint, "id": new_id}, newest.metadata, {})
    return new_id


def newest_id(saver: Any) -> str:
    checkpoint_id: str = saver.get_tuple(THREAD).config["configurable"]["checkpoint_id"]
    return checkpoint_id


@pytest.mark.parametrize("days", [1, 3650])
def test_an_answer_after_the_clock_was_set_back_is_kept(scripted: Scripted, tmp_path: Path, days: int) -> None:
    groq = scripted([first(), first("43"), first("44")])
    assert_answer(llamaberry(*ASK_IN_THREAD))
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
        future = store_later(saver, days * TICKS_PER_DAY)
        assert_answer(llamaberry("ask", "Second?", *ASK_IN_THREAD[2:]), "43\n")
        assert newest_id(saver) > future
    assert_answer(llamaberry("ask", "Third?", *ASK_IN_THREAD[2:]), "44\n")
    contents = [message["content"] for message in groq.requests[2].messages]
    assert contents[1:5] == ["Q", "42", "Second?", "43"]


def test_a_host_with_a_slow_clock_keeps_its_answer(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    groq = scripted([first(), first("43"), first("44")])
    monkeypatch.setenv("LLAMABERRY_CHECKPOINTS", where := new_database())
    assert_answer(llamaberry(*ASK_IN_THREAD))
    with PostgresSaver.from_conn_string(where) as saver:
        store_later(saver, TICKS_PER_DAY)
    assert_answer(llamaberry("ask", "Second?", *ASK_IN_THREAD[2:]), "43\n")
    assert_answer(llamaberry("ask", "Third?", *ASK_IN_THREAD[2:]), "44\n")
    assert groq.requests[2].messages[3]["content"] == "Second?"


def test_a_run_is_resumed_after_the_clock_was_set_back(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted([first("41"), HANG, refine("42", "revise"), synthesis("It is 42."), first("43")])
    signal_during_call(groq, 2, "ask", "Q", "--turns", "2", "--verify", "none", "--thread", "T")
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
        store_later(saver, TICKS_PER_DAY)
    assert_answer(llamaberry("resume", "--quiet"), "It is 42.\n")
    assert " · answered · Q" in llamaberry("history").stdout
    assert_answer(llamaberry("ask", "Next?", *ASK_IN_THREAD[2:]), "43\n")
    assert groq.requests[4].messages[2]["content"] == "It is 42."


def test_an_answer_that_would_be_lost_is_refused(groq: ScriptedGroq, tmp_path: Path) -> None:
    """There is no later id."""
    last = "ffffffff-ffff-6fff-bfff-ffffffffffff"
    assert_answer(llamaberry(*ASK_IN_THREAD))
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
        store_later(saver, checkpoint_id=last)
    assert_refused(llamaberry(*ASK_IN_THREAD), "thread 'T'", last)
    assert len(groq.requests) == 1


RECORDS: dict[str, Any] = {
    "state": lambda state: [state],
    "turns": lambda state: state["turns"],
    "calls": lambda state: state["calls"],
    "usage": lambda state: [state["usage"]],
    "check": lambda state: [state["check"]],
    "steps": lambda state: [step for turn in state["turns"] for step in turn["steps"]],
    "tokens": lambda state: [record["usage"] for record in [*state["turns"], *state["calls"]]],
}
"""The records in a state, by their kind."""


@pytest.mark.parametrize("kind", RECORDS)
async def test_a_state_without_a_key_can_be_shown(scripted: Scripted, kind: str) -> None:
    """Each key is removed in turn, from all records of the kind; then all of them."""
    scripted([first("41"), refine("42", "revise"), synthesis("It is 42.")], [program("print(6 * 7)")])
    state: Any = await build_graph().ainvoke({"query": "Q"}, context=Context(max_turns=2, early_stop=False))
    keys = {key for record in RECORDS[kind](state) for key in record}
    assert len(keys) > 1
    for removed in [*({key} for key in keys), keys]:
        edited = copy.deepcopy(state)
        for record in RECORDS[kind](edited):
            for key in removed:
                record.pop(key, None)
        runs = [read_run("T", complete(edited))]
        print_runs(runs, 0)
        page(runs)


def test_a_stored_state_without_keys_is_listed_and_shown(scripted: Scripted, tmp_path: Path) -> None:
    """A thread of an older version does not hide the others."""
    scripted([first("41"), first("42")])
    database = tmp_path / "threads.sqlite"
    assert_answer(llamaberry(*ASK_IN_THREAD), "41\n")
    with SqliteSaver.from_conn_string(str(database)) as saver:
        newest = saver.get_tuple(THREAD)
        assert newest
        stored = newest.checkpoint["channel_values"]
        stored["turns"] = [{key: turn[key] for key in ("text", "answer")} for turn in stored["turns"]]
        for key in ("calls", "usage", "check", "stop_reason", "degraded", "to_check"):
            stored.pop(key, None)
        kind, content = saver.serde.dumps_typed(newest.checkpoint)
    with closing(sqlite3.connect(database, isolation_level=None)) as threads:
        edit = "UPDATE checkpoints SET type = ?, checkpoint = ? WHERE checkpoint_id = ?"
        assert threads.execute(edit, (kind, content, newest.checkpoint["id"])).rowcount == 1
    assert_answer(llamaberry(*ASK_ONE_TURN), "42\n")
    words = (("history",), ("show", "T"), ("history", "T"), ("show", "T", "--html", str(tmp_path / "T.html")))
    listed, *others = run_concurrently(*words)
    assert [line.split(" · ")[2] for line in listed.stdout.splitlines()] == ["answered", "answered"]
    for run in others:
        assert (run.returncode, run.stderr) == (0, "")
    assert "41" in others[0].stdout
