"""What the page does: ask, stop, review, continue, edit, open a thread. Each is a stream of views of the chat."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Literal, NamedTuple

from langgraph.types import Command
from pydantic import ValidationError

from llamaberry.graph.context import Context
from llamaberry.graph.errors import LlamaberryError, SetupError
from llamaberry.graph.events import is_own_event
from llamaberry.graph.review import Pause
from llamaberry.graph.state import Input
from llamaberry.stream import StreamEvent
from llamaberry.web.messages import (
    Message,
    conversation,
    problem_markdown,
    question_message,
    reply_message,
    text_messages,
    thread_messages,
)
from llamaberry.web.settings_form import read_settings
from llamaberry.web.store import ListedThread, RunInput, Store, StoredThread
from llamaberry.web.transcript import Transcript

REFRESH_S = 0.1
"""How long tokens are collected before the page gets them."""
TICK_S = 1.0
"""How often the seconds of a step are shown while nothing else happens."""
CONTINUE = "Press **Continue** to go on after the last finished step, or start a new chat."

Phase = Literal["idle", "running", "paused", "unfinished"]
"""What can be done next: ask; stop; decide; continue an interrupted run."""


class View(NamedTuple):
    """What the page shows: the messages of a thread (None: a new chat), and what can be done next."""

    messages: Sequence[Message] = ()
    thread: str | None = None
    phase: Phase = "idle"
    pause: Pause | None = None


class _StoppedError(Exception):
    """The user has stopped the run, or left the page."""


class Chat:
    """The chats of all open pages, each known by the id of its session. One run at a time in each."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._runs: dict[str, asyncio.Task[None]] = {}

    async def stop(self, session: str) -> None:
        """Stop the session's run, if there is one; return when it has ended."""
        if run := self._runs.get(session):
            run.cancel()
            await asyncio.wait({run})

    async def list_threads(self) -> list[ListedThread]:
        """Return the threads for the list; none if they cannot be read, which the first question will say."""
        with suppress(LlamaberryError):
            return await self.store.list_threads()
        return []

    async def open(self, thread: str | None) -> View:
        """Return the view of a stored thread, or of a new chat."""
        if thread is None:
            return View()
        stored = await self._read(thread)
        return stored if isinstance(stored, View) else _view(thread, stored)

    async def _read(self, thread: str) -> StoredThread | View:
        """Return what is stored of the thread, or the view that says why it cannot be read."""
        try:
            return await self.store.read(thread)
        except LlamaberryError as error:
            return View([reply_message(problem_markdown(error))], thread)

    async def ask(self, session: str, thread: str | None, question: str, values: Sequence[Any]) -> AsyncGenerator[View]:
        """Ask a question on the thread, or on a new one."""
        before = await self.open(thread)
        earlier = [*before.messages]
        if before.phase == "unfinished":  # its question is about to be replaced, and cannot be continued then
            earlier[-1] = reply_message("**There is no answer:** the run was interrupted.")
        async for view in self._start(session, thread, earlier, {"query": question}, question, values):
            yield view

    async def edit(
        self, session: str, thread: str | None, index: int, question: str, values: Sequence[Any]
    ) -> AsyncGenerator[View]:
        """Ask another question in place of the one in the message `index`, on a new thread; the old one stays."""
        stored = await self._read(thread) if thread else StoredThread([], False, None)
        if isinstance(stored, View):
            yield stored
            return
        messages = thread_messages(thread or "", stored.states)[:index]
        known = conversation(stored.states[-1]) if stored.states else []
        questions = [i for i, message in enumerate(known) if message["role"] == "user"]
        number = sum(message["role"] == "user" for message in messages)
        before = known[: questions[number]] if number < len(questions) else known
        edited = {"messages": [*before, {"role": "user", "content": question}]} if before else {"query": question}
        async for view in self._start(session, None, messages, edited, question, values):
            yield view

    async def decide(
        self, session: str, thread: str, action: str, hint: str, answer: str, values: Sequence[Any]
    ) -> AsyncGenerator[View]:
        """Continue a run that is paused for a review, with this Decision; a blank hint or answer is none."""
        stored = await self._read(thread)
        if isinstance(stored, View) or stored.pause is None:  # another page has decided
            yield stored if isinstance(stored, View) else _view(thread, stored)
            return
        texts = {name: text for name, text in (("hint", hint), ("answer", answer)) if text.strip()}
        resume: Command[Any] = Command(resume={stored.pause.id: {"action": action, **texts}})
        async for view in self._resume(session, thread, stored, resume, values):
            yield view

    async def resume(self, session: str, thread: str, values: Sequence[Any]) -> AsyncGenerator[View]:
        """Continue an interrupted run after its last finished step."""
        stored = await self._read(thread)
        if isinstance(stored, View):
            yield stored
            return
        async for view in self._resume(session, thread, stored, None, values):
            yield view

    async def _start(
        self,
        session: str,
        thread: str | None,
        earlier: Sequence[Message],
        run_input: dict[str, Any],
        question: str,
        values: Sequence[Any],
    ) -> AsyncGenerator[View]:
        try:
            context = read_settings(values)
            Input(query=question)  # an invalid question must not become the interrupted question of a thread
        except (SetupError, ValidationError) as error:
            yield View([*earlier, question_message(question), reply_message(problem_markdown(error))], thread)
            return
        name = thread or self.store.new_name()
        async for view in self._run(session, name, earlier, {"query": question}, run_input, context):
            yield view

    async def _resume(
        self, session: str, thread: str, stored: StoredThread, run_input: RunInput, values: Sequence[Any]
    ) -> AsyncGenerator[View]:
        *before, state = stored.states
        earlier = thread_messages(thread, before) if before else text_messages(state)
        try:
            context = read_settings(values)
        except SetupError as error:
            view = _view(thread, stored)
            yield view._replace(messages=[*view.messages, reply_message(problem_markdown(error))])
            return
        async for view in self._run(session, thread, earlier, state, run_input, context):
            yield view

    async def _run(
        self,
        session: str,
        thread: str,
        earlier: Sequence[Message],
        state: dict[str, Any],
        run_input: RunInput,
        context: Context,
    ) -> AsyncGenerator[View]:
        """Run on the thread, and yield what the page shows of it: after each event, but tokens every REFRESH_S."""
        await self.stop(session)
        transcript = Transcript(thread, state)
        shown_at = 0.0
        phase: Phase = "idle"
        yield View([*earlier, *transcript.messages], thread, "running")
        try:
            async with aclosing(self._events(session, self.store.run(thread, run_input, context))) as events:
                async for event in events:
                    is_news = event is None or transcript.add(event)
                    if not transcript.ended and (is_news or time.monotonic() - shown_at > REFRESH_S):
                        yield View([*earlier, *transcript.messages], thread, "running")
                        shown_at = time.monotonic()
        except _StoppedError:
            transcript.end(f"**Stopped.** {CONTINUE}")
            phase = "unfinished"
        except LlamaberryError as error:
            transcript.end(f"{problem_markdown(error)}\n\n{CONTINUE}")
            phase = "unfinished"
        if transcript.paused:  # a person may have edited a turn that the transcript has
            yield await self.open(thread)
        else:
            yield View([*earlier, *transcript.messages], thread, phase)

    async def _events(self, session: str, events: AsyncGenerator[StreamEvent]) -> AsyncGenerator[StreamEvent | None]:
        """Yield the events of a run that `stop` can end, and None while there is none for TICK_S.

        The run is a task of its own: Gradio reads a stream in changing tasks.
        """
        queue: asyncio.Queue[StreamEvent | None] = asyncio.Queue()

        async def read() -> None:
            try:
                async with aclosing(events):
                    async for event in events:
                        is_own = is_own_event(event)
                        if is_own:
                            queue.put_nowait(event)
            finally:
                queue.put_nowait(None)

        run = self._runs[session] = asyncio.create_task(read())
        try:
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), TICK_S)
                except TimeoutError:
                    yield None
                    continue
                if event is None:
                    break
                yield event
            await asyncio.wait({run})
            if run.cancelled():
                raise _StoppedError
            run.result()
        finally:
            run.cancel()
            if self._runs.get(session) is run:
                del self._runs[session]


def _view(thread: str, stored: StoredThread) -> View:
    """Return the view of a thread on which nothing runs."""
    messages = thread_messages(thread, stored.states)
    if not stored.unfinished:
        return View(messages, thread)
    if stored.pause is None:
        return View([*messages, reply_message(f"**Interrupted.** {CONTINUE}")], thread, "unfinished")
    transcript = Transcript(thread, {})
    transcript.add({"type": "run_paused", "interrupts": (stored.pause,)})
    return View([*messages, *transcript.messages[1:]], thread, "paused", transcript.paused)
