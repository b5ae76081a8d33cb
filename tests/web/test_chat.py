"""What the page does, without a browser: the views of a chat on threads of this machine."""

import asyncio
from typing import Any

import pytest

from llamaberry.web.chat import Chat, View
from llamaberry.web.store import LocalStore
from testing.command import QUESTION, llamaberry
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, program, refine, synthesis
from testing.web import SESSION, last, panel, questions, titles


def ask(chat: Chat, thread: str | None = None, question: str = QUESTION, **settings: Any) -> View:
    return asyncio.run(last(chat.ask(SESSION, thread, question, panel(**settings))))


@pytest.fixture
def chat() -> Chat:
    return Chat(LocalStore())


def test_a_run_is_a_question_thoughts_and_an_answer(scripted: Scripted, chat: Chat) -> None:
    scripted([first("41"), refine("42", "revise")], [program()])
    view = ask(chat)
    assert titles(view) == [
        "Turn 1 · 41",
        "Check · The program's answer is 42: not turn 1's, but turn 2's.",
        "Turn 2 · revise · 41 → **42**",
    ]
    assert [message["role"] for message in view.messages] == ["user", *["assistant"] * 4]
    assert view.messages[2]["content"] == "```python\nprint(6 * 7)\n```\n\nIt printed:\n\n```\n42\n```"
    assert "The answer changed: ~~41~~ **42**" in view.messages[3]["content"]
    answer = view.messages[-1]["content"]
    assert answer.startswith("42\n\n")
    figures = ("2 turns · verified by a program", "tokens", "&#36;0.0", f"runs/{view.thread}")
    assert all(words in answer for words in figures)


def test_each_step_is_shown_while_it_is_written(scripted: Scripted, chat: Chat) -> None:
    scripted([first("41"), refine("42", "revise"), synthesis()], ["NONE"])

    async def pending() -> dict[str, str]:
        steps: dict[str, str] = {}
        async for view in chat.ask(SESSION, None, QUESTION, panel(max_turns=2)):
            for message in view.messages:
                if message.get("metadata", {}).get("status") == "pending":
                    steps[message["metadata"]["title"]] = message["content"]
        return steps

    assert list(asyncio.run(pending())) == ["Turn 1", "Check of turn 1", "Turn 2", "Synthesis"]


def test_a_stored_thread_looks_as_it_did_when_it_ended(scripted: Scripted, chat: Chat) -> None:
    scripted([first("41"), refine("42", "revise"), synthesis()], ["NONE"])
    view = ask(chat, max_turns=2)
    assert asyncio.run(chat.open(view.thread)) == view
    assert titles(view)[-1] == "Synthesis"


def test_a_thread_of_the_command_line_goes_on(groq: ScriptedGroq, chat: Chat) -> None:
    llamaberry("ask", QUESTION, "--thread", "T", "--turns", "1", "--quiet")
    assert [tuple(thread) for thread in asyncio.run(chat.list_threads())] == [("T", QUESTION)]
    view = ask(chat, "T", "And twice that?", max_turns=1)
    assert questions(view) == [QUESTION, "And twice that?"]
    assert [message["content"] for message in groq.requests[-1].messages[1:3]] == [QUESTION, "42"]


def test_a_setting_out_of_bounds_is_named(groq: ScriptedGroq, chat: Chat) -> None:
    view = ask(chat, temperature=3)
    problem = "**There is no answer:** Temperature 3: it should be less than or equal to 2"
    assert view.messages[-1]["content"] == problem
    assert (view.phase, view.thread, groq.requests) == ("idle", None, [])


def test_a_blank_question_starts_no_thread(groq: ScriptedGroq, chat: Chat) -> None:
    assert "the question is blank" in ask(chat, question=" ").messages[-1]["content"]
    assert asyncio.run(chat.list_threads()) == []


def test_a_stopped_run_ends_its_call_and_can_go_on(scripted: Scripted, chat: Chat) -> None:
    groq = scripted([first("42"), Reply(hang=True), synthesis()], ["NONE"])

    async def stop() -> View:
        view = View()
        async for view in chat.ask(SESSION, None, QUESTION, panel(max_turns=2)):
            if titles(view)[-1:] == ["Turn 2"]:
                await asyncio.to_thread(groq.wait, 1)
                await chat.stop(SESSION)
        return view

    view = asyncio.run(stop())
    groq.wait(0)
    assert (view.phase, groq.disconnects) == ("unfinished", 1)
    assert titles(view)[-1] == "Turn 2 · not finished"
    assert view.messages[-1]["content"].startswith("**Stopped.**")
    assert asyncio.run(chat.list_threads())[0].label == f"{QUESTION} (interrupted)"
    groq.play([refine("42"), synthesis()])
    view = asyncio.run(last(chat.resume(SESSION, str(view.thread), panel())))
    check = "Check · No program can check this answer."
    assert (view.phase, titles(view)) == ("idle", ["Turn 1 · 42", check, "Turn 2 · keep · 42", "Synthesis"])


def test_a_failure_is_shown_in_words(scripted: Scripted, chat: Chat) -> None:
    scripted([Reply(status=401)])
    view = ask(chat)
    assert view.phase == "unfinished"
    assert "Invalid API Key" in view.messages[-1]["content"]
    assert titles(view) == ["Turn 1 · not finished"]


def test_a_replaced_question_offers_no_way_to_go_on(scripted: Scripted, chat: Chat) -> None:
    groq = scripted([Reply(status=401)])
    thread = ask(chat).thread
    groq.play()
    view = ask(chat, thread, "And twice that?", max_turns=1)
    assert questions(view) == [QUESTION, "And twice that?"]
    assert view.messages[1]["content"] == "**There is no answer:** the run was interrupted."
    assert "Press **Continue**" not in str(view.messages)


def test_a_review_takes_a_hint_an_answer_and_a_stop(scripted: Scripted, chat: Chat) -> None:
    groq = scripted([first("41"), refine("43", "revise"), synthesis()])
    reviewed = panel(review="each_turn", verify="none")
    view = asyncio.run(last(chat.ask(SESSION, None, QUESTION, reviewed)))
    assert (view.phase, view.pause and view.pause["turn"]["answer"]) == ("paused", "41")
    assert "**Your review of turn 1**" in view.messages[-1]["content"]
    assert asyncio.run(chat.open(view.thread)) == view
    assert asyncio.run(chat.list_threads())[0].label == f"{QUESTION} (waiting for review)"
    view = asyncio.run(last(chat.decide(SESSION, str(view.thread), "continue", "Count again.", "40", reviewed)))
    assert "Count again." in groq.requests[-1].messages[-1]["content"]
    assert titles(view) == ["Turn 1 · 40", "Turn 2 · revise · 40 → **43**"]
    view = asyncio.run(last(chat.decide(SESSION, str(view.thread), "stop", "", " ", reviewed)))
    assert (view.phase, len(groq.requests)) == ("idle", 3)
    assert "stopped by you" in view.messages[-1]["content"]


def test_an_edited_question_starts_another_thread(groq: ScriptedGroq, chat: Chat) -> None:
    before = ask(chat, ask(chat, max_turns=1).thread, "And twice that?", max_turns=1)
    view = asyncio.run(last(chat.edit(SESSION, before.thread, 3, "And half of that?", panel(max_turns=1))))
    assert [message["content"] for message in groq.requests[-1].messages[1:3]] == [QUESTION, "42"]
    assert "And half of that?" in groq.requests[-1].messages[-1]["content"]
    assert questions(view) == questions(asyncio.run(chat.open(view.thread))) == [QUESTION, "And half of that?"]
    assert asyncio.run(chat.open(before.thread)) == before


def test_a_thread_that_was_deleted_is_named(groq: ScriptedGroq, chat: Chat) -> None:
    for views in (
        chat.resume(SESSION, "gone", panel()),
        chat.decide(SESSION, "gone", "stop", "", "", panel()),
        chat.edit(SESSION, "gone", 0, QUESTION, panel()),
    ):
        assert "there is no thread 'gone'" in asyncio.run(last(views)).messages[-1]["content"]


def test_without_storage_nothing_is_listed(groq: ScriptedGroq, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_CHECKPOINTS", "none")
    chat = Chat(LocalStore())
    again = ask(chat, ask(chat, max_turns=1).thread, "And twice that?", max_turns=1)
    assert len(questions(again)) == 2
    assert asyncio.run(chat.list_threads()) == []
