"""Threads that are read from SQLite without LangGraph: the same as with it, and their names in a shell's completion."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llamaberry import Context, ModelError, threads
from llamaberry.cli.main import app
from llamaberry.threads import overview
from testing.command import LIMIT_S, assert_refused, llamaberry
from testing.scripted_groq import Reply, Scripted, first, refine, synthesis

CONTEXT = Context(max_turns=2, verify="none")


@pytest.fixture
def stored(scripted: Scripted, tmp_path: Path) -> None:
    """Threads whose last run was answered, failed in either turn, is paused, or was killed before a checkpoint."""
    answer = [first("41"), refine("42", "revise"), synthesis("It is 42.")]
    refused = Reply(status=400)
    scripts: dict[str, list[str | Reply]] = {
        "answered": [*answer, *answer],
        "failed first": [*answer, refused],
        "failed new": [refused],
        "paused": [first("41")],
        "killed": answer,
        "killed first": [*answer, *answer],
    }

    async def ask() -> None:
        async with threads.open_graph() as graph:
            for name, script in scripts.items():
                groq = scripted(script)
                context = CONTEXT.model_copy(update={"review": "each_turn" if name == "paused" else "none"})
                for question in ("one?", "two?"):
                    if len(groq.requests) < len(script):
                        with suppress(ModelError):
                            await graph.ainvoke({"query": question}, threads.thread_config(name), context=context)

    asyncio.run(ask())
    newest = "(SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? ORDER BY 1 DESC LIMIT ?, -1)"
    with closing(sqlite3.connect(tmp_path / "threads.sqlite", isolation_level=None)) as database:
        for name, count in (("killed", 1), ("killed first", 3)):
            query = f"DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_id NOT IN {newest}"
            database.execute(query, (name, name, count))


KEYS = {"query", "turns", "check", "calls", "answer", "concise_answer", "usage", "stop_reason", "degraded"}
"""What a printed run needs of a state; a message is another object without LangGraph."""


def needed(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: state[key] for key in state if key in KEYS} for state in states]


def test_a_list_is_the_same_as_with_langgraph(stored: None) -> None:
    summaries = overview.summaries()
    # LangGraph does not return the question if a step has written, and the next checkpoint is missing.
    without = [s._replace(question="") if s.thread.startswith("killed") else s for s in summaries]
    assert asyncio.run(overview._stored_summaries()) == without
    assert {summary.thread: (summary.status, summary.question) for summary in summaries} == {
        "answered": ("answered", "two?"),
        "failed first": ("failed", "two?"),
        "failed new": ("failed", "one?"),
        "paused": ("waiting for review", "one?"),
        "killed": ("interrupted", "one?"),
        "killed first": ("interrupted", "two?"),
    }


@pytest.mark.parametrize("name", ["answered", "failed first", "failed new", "killed", "killed first", "last"])
def test_questions_are_the_same_as_with_langgraph(stored: None, name: str) -> None:
    found, _, states = overview.questions(name)
    name, expected = asyncio.run(overview._stored_questions(name))
    assert (found, needed(states)) == (name, needed(expected))


def test_forget_says_what_it_deleted(stored: None, tmp_path: Path) -> None:
    run = llamaberry("forget", "answered")
    assert (run.returncode, run.stdout, run.stderr) == (0, "deleted thread answered with its 2 questions\n", "")
    with closing(sqlite3.connect(tmp_path / "threads.sqlite")) as database:
        for table in ("checkpoints", "writes"):
            names = {name for (name,) in database.execute(f"SELECT thread_id FROM {table}")}
            assert "answered" not in names
            assert "killed" in names
    assert_refused(llamaberry("forget", "answered"), "there is no thread 'answered'")


def test_reading_and_deleting_do_not_import_langgraph(stored: None) -> None:
    code = (
        "import sys; from llamaberry.cli.main import app\n"
        "for words in (['history'], ['show', 'last'], ['forget', 'killed']): app(words, standalone_mode=False)\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'langgraph']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT_S, capture_output=True)


@pytest.mark.parametrize("words", ["show f", "resume f", "history f", "forget f", "ask --thread f", "chat --thread f"])
def test_a_shell_completes_thread_names(words: str, stored: None) -> None:
    environment = {"COMP_WORDS": f"llamaberry {words}", "COMP_CWORD": str(len(words.split()))}
    environment["_LLAMABERRY_COMPLETE"] = "complete_bash"
    run = CliRunner().invoke(app, env=environment, prog_name="llamaberry")
    assert run.stdout.split("\n") == ["failed new", "failed first", ""]
