"""The page with the graph and its threads on a real server."""

import asyncio

import pytest

from llamaberry.web.chat import Chat, View
from llamaberry.web.escape import words
from llamaberry.web.server_store import ServerStore
from testing.command import QUESTION
from testing.scripted_groq import Reply, ScriptedGroq, first, program, refine, synthesis
from testing.web import SESSION, last, panel, questions, titles

Server = tuple[str, ScriptedGroq]


@pytest.fixture
def chat(server: Server) -> Chat:
    server[1].play()
    return Chat(ServerStore(server[0]))


def test_a_run_on_a_server_looks_like_one_here(server: Server, chat: Chat) -> None:
    server[1].play([first("41"), refine("42", "revise")], [program()])

    async def views() -> list[View]:
        return [view async for view in chat.ask(SESSION, None, QUESTION, panel())]

    *running, view = asyncio.run(views())
    pending = {
        message["metadata"]["title"]: message["content"]
        for shown in running
        for message in shown.messages
        if message.get("metadata", {}).get("status") == "pending"
    }
    assert list(pending) == ["Turn 1", "Check of turn 1", "Turn 2", "Check of turn 2"]
    assert pending["Turn 1"].startswith("##")
    check = "Check · The program's answer is 42: not turn 1's, but turn 2's."
    assert titles(view) == ["Turn 1 · 41", check, "Turn 2 · revise · 41 → **42**"]
    assert "verified by a program" in view.messages[-1]["content"]
    assert asyncio.run(chat.open(view.thread)) == view
    assert QUESTION in [thread.label for thread in asyncio.run(chat.list_threads())]


def test_the_conversation_goes_on_there(server: Server, chat: Chat) -> None:
    first_view = asyncio.run(last(chat.ask(SESSION, None, QUESTION, panel(max_turns=1))))
    view = asyncio.run(last(chat.ask(SESSION, first_view.thread, "And twice that?", panel(max_turns=1))))
    assert questions(view) == [QUESTION, "And twice that?"]
    assert [message["content"] for message in server[1].requests[-1].messages[1:3]] == [QUESTION, "42"]
    again = asyncio.run(chat.open(view.thread))
    assert questions(again) == questions(view)
    assert titles(again) == ["Turn 1 · 42"]


def test_a_review_there_is_answered_here(server: Server, chat: Chat) -> None:
    server[1].play([first("41"), synthesis()])
    reviewed = panel(review="each_turn", verify="none")
    view = asyncio.run(last(chat.ask(SESSION, None, QUESTION, reviewed)))
    assert (view.phase, view.pause and view.pause["turn"]["answer"]) == ("paused", "41")
    assert f"{QUESTION} (waiting for review)" in [thread.label for thread in asyncio.run(chat.list_threads())]
    view = asyncio.run(last(chat.decide(SESSION, str(view.thread), "stop", "", "40", reviewed)))
    assert (view.phase, titles(view)) == ("idle", ["Turn 1 · 40", "Synthesis"])


def test_a_stop_cancels_the_run_there(server: Server, chat: Chat) -> None:
    server[1].play([first("42"), Reply(hang=True)], ["NONE"])

    async def stop() -> View:
        view = View()
        async for view in chat.ask(SESSION, None, QUESTION, panel(max_turns=2)):
            if titles(view)[-1:] == ["Turn 2"]:
                await asyncio.to_thread(server[1].wait, 1)
                await chat.stop(SESSION)
        return view

    view = asyncio.run(stop())
    server[1].wait(0, timeout=120)
    assert (view.phase, server[1].disconnects) == ("unfinished", 1)
    server[1].play([refine("42"), synthesis()])
    view = asyncio.run(last(chat.resume(SESSION, str(view.thread), panel(max_turns=2))))
    assert (view.phase, titles(view)[-2:]) == ("idle", ["Turn 2 · keep · 42", "Synthesis"])


def test_a_failure_there_is_shown_in_words(server: Server, chat: Chat) -> None:
    server[1].play([Reply(status=401)])
    view = asyncio.run(last(chat.ask(SESSION, None, QUESTION, panel())))
    assert f"on {words(server[0])}: " in view.messages[-1]["content"]
    assert "Invalid API Key" in view.messages[-1]["content"]


def test_a_server_that_is_down_is_named() -> None:
    chat = Chat(ServerStore("http://127.0.0.1:9"))
    view = asyncio.run(last(chat.ask(SESSION, None, QUESTION, panel())))
    assert "127.0.0.1:9 cannot be reached" in view.messages[-1]["content"]
    assert asyncio.run(chat.list_threads()) == []
