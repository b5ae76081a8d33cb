"""A thread of several questions: of those that ended, only the end is kept."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from llamaberry import threads
from testing.command import llamaberry, signal_during_call
from testing.scripted_groq import Reply, Scripted, first, refine, synthesis

ANSWER = [first("41"), refine("42", "revise"), synthesis("It is 42.")]
ASK = ("ask", "--thread", "T", "--turns", "2", "--verify", "none")


def checkpoints(tmp_path: Path) -> list[str]:
    """Return the source of each checkpoint, the oldest first."""
    query = "SELECT json_extract(CAST(metadata AS TEXT), '$.source') FROM checkpoints ORDER BY checkpoint_id"
    with closing(sqlite3.connect(tmp_path / "threads.sqlite")) as database:
        return [source for (source,) in database.execute(query)]


def history() -> list[tuple[str, ...]]:
    async def read() -> list[tuple[str, ...]]:
        async with threads.open_graph() as graph:
            config: Any = threads.thread_config("T")
            return [point.next async for point in graph.aget_state_history(config)]

    return asyncio.run(read())


def test_a_new_question_leaves_the_ends_of_earlier_ones(scripted: Scripted, tmp_path: Path) -> None:
    scripted(ANSWER * 3)
    for question in ("one?", "two?", "three?"):
        assert llamaberry(*ASK, question).returncode == 0
    steps = ["input", "loop", "loop", "loop", "loop"]
    assert checkpoints(tmp_path) == ["loop", "loop", *steps]
    assert history() == [(), ("synthesize",), ("refine_turn",), ("first_turn",), ("__start__",), (), ()]


def test_all_questions_can_still_be_shown(scripted: Scripted) -> None:
    scripted(ANSWER * 3)
    for question in ("one?", "two?", "three?"):
        llamaberry(*ASK, question)
    newest, all_ = llamaberry("show", "T").stdout, llamaberry("show", "T", "--all").stdout
    assert [question in all_ for question in ("one?", "two?", "three?")] == [True] * 3
    assert [question in newest for question in ("one?", "two?", "three?")] == [False, False, True]
    assert "2 earlier on this thread" in newest
    assert llamaberry("forget", "T").stdout == "deleted thread T with its 3 questions\n"


def test_an_interrupted_question_keeps_its_steps(scripted: Scripted) -> None:
    groq = scripted([*ANSWER, first("41"), Reply(hang=True), *ANSWER[1:]])
    llamaberry(*ASK, "one?")
    signal_during_call(groq, 5, *ASK, "two?")
    assert llamaberry("resume", "T").stdout.endswith("It is 42.\n")
    assert history() == [(), ("synthesize",), ("refine_turn",), ("first_turn",), ("__start__",), ()]


def test_the_next_prompt_has_the_whole_conversation(scripted: Scripted) -> None:
    groq = scripted(ANSWER * 3)
    for question in ("one?", "two?", "three?"):
        llamaberry(*ASK, question)
    texts = " ".join(str(message["content"]) for message in groq.requests[6].messages)
    assert [text in texts for text in ("one?", "two?", "three?")] == [True] * 3
