"""Failed calls: which are retried, how often and when, and what the error says."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager, suppress
from email.utils import formatdate
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from llamaberry import ModelError, build_graph, graph
from testing.entry_points import ENTRY_POINTS, EntryPoint, ainvoke, ask_concurrently, astream, stream
from testing.scripted_groq import NO_RETRY, Reply, Request, Scripted, first, good_model, refine, synthesis


class ScriptPerQuestion:
    """A model with a script for each question, which continues as a good model; it counts requests by question."""

    def __init__(self, scripts: dict[str, list[Reply | str]]) -> None:
        self.scripts = {question: iter(script) for question, script in scripts.items()}
        self.requests: Counter[str] = Counter()

    def __call__(self, request: Request) -> Reply | str:
        question = request.messages[1]["content"].split("\n")[0]
        self.requests[question] += 1
        return next(self.scripts[question], good_model(request))


REPLY_CODES = {"tool_use_failed": "calls a tool", "json_validate_failed": "JSON", "output_parse_failed": "read"}
# Faults that may pass, each with a pattern of its error message.
PASSING = {
    **{f"HTTP {status}": (Reply(status=status), f"answered {status}: ") for status in (408, 409, 429, 498, 500, 599)},
    "no capacity": (Reply(status=503, error="Over capacity"), r"answered 503: .*try again later \(Over capacity\)"),
    "cut before a word": (Reply(cut=-1), "broke off"),
    "cut in mid-reply": (Reply(first(), cut=3), "broke off"),
    "error event": (Reply(first(), error_event="It broke"), r"\(.*It broke\)"),
    "broken JSON": (Reply(first(), garbage=True), "JSONDecodeError"),
    "no finish_reason": (Reply(first(), finish_reason=None, no_usage=True), "without a finish reason: try again"),
    "empty": (Reply(""), "gave an empty reply: try again"),
    "only thoughts": (Reply("<think>Well.</think>\n"), "gave an empty reply: try again"),
    **{
        code: (Reply(status=400, error={"message": "Failed", "code": code}), f"answered 400: its reply .*{words}")
        for code, words in REPLY_CODES.items()
    },
    "time-out": (Reply(hang=True), r"within 1\.5 s: allow more with turn_timeout_s \(--turn-timeout\)"),
}
SETTINGS: dict[str, dict[str, Any]] = {name: {} for name in PASSING} | {"time-out": {"turn_timeout_s": 1.5}}
GOOD: list[str] = [first(), refine(), refine(), synthesis()]


def test_a_passing_fault_is_retried_and_changes_no_turn(scripted: Scripted, entry_point: EntryPoint) -> None:
    """Whichever of the four calls it hits: five requests in all, and the result of a run without a fault."""
    model = ScriptPerQuestion({name: [*GOOD[: n % 4], fault] for n, (name, (fault, _)) in enumerate(PASSING.items())})
    scripted(model)
    for name, result in ask_concurrently(entry_point, SETTINGS).items():
        assert not isinstance(result, Exception), (name, result)
        assert [turn["text"] for turn in result["turns"]] == GOOD[:3], name
        assert (result["answer"], result["degraded"]) == ("The answer is 42.", None), name
    assert model.requests == dict.fromkeys(PASSING, 5)


@pytest.mark.parametrize("name", ["invoke", "astream"])
def test_a_lasting_fault_fails_after_three_requests(scripted: Scripted, name: str) -> None:
    """Three in all: the client's own retries are off, because they would multiply."""
    model = ScriptPerQuestion({name: [reply] * 12 for name, (reply, _) in PASSING.items()})
    scripted(model)
    for fault, error in ask_concurrently(ENTRY_POINTS[name], SETTINGS).items():
        with pytest.raises(ModelError, match=f"^groq:openai/gpt-oss-120b .*{PASSING[fault][1]}"):
            raise error
    assert model.requests == dict.fromkeys(PASSING, 3)


REFUSALS = {str(status): Reply(status=status) for status in (400, 401, 403, 404, 413, 422)}
REFUSALS["503"] = Reply(status=503, headers=NO_RETRY)  # the provider says that it is not to be retried


@pytest.mark.parametrize("before", [0, 1, 3], ids=["first turn", "refine turn", "synthesis"])
def test_a_refusal_is_not_retried(scripted: Scripted, entry_point: EntryPoint, before: int) -> None:
    model = ScriptPerQuestion({name: [*GOOD[:before], *[fault] * 9] for name, fault in REFUSALS.items()})
    scripted(model)
    for name, result in ask_concurrently(entry_point, {name: {} for name in REFUSALS}).items():
        error = result["degraded"] if before else str(result)
        assert isinstance(result, ModelError) != bool(before)
        assert f"answered {name}: " in error
    assert model.requests == dict.fromkeys(REFUSALS, before + 1)


@contextmanager
def raw_server(monkeypatch: pytest.MonkeyPatch, head: bytes, drip: bytes = b"") -> Iterator[list[float]]:
    """Serve ChatGroq `head`, then `drip` every 20 ms for at most a minute. Yield the times of its requests."""
    times: list[float] = []

    def answer(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            times.append(time.monotonic())
            client.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + head)
            while drip and not closed.wait(0.02) and time.monotonic() < times[0] + 60:
                client.sendall(drip)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],)).start()

    closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
        monkeypatch.setenv("GROQ_API_BASE", f"http://127.0.0.1:{listener.getsockname()[1]}")
        (thread := threading.Thread(target=serve)).start()
        try:
            yield times
        finally:
            closed.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("body", [b"", b"data: [DONE]\n\n"], ids=["nothing", "only the end marker"])
def test_an_empty_stream_is_retried(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with raw_server(monkeypatch, b"content-type: text/event-stream\r\n\r\n" + body) as times:
        with pytest.raises(ModelError):
            stream("6 x 7?", {})
        assert len(times) == 3


ONE_ATTEMPT = {"max_turns": 1, "turn_timeout_s": 0.5, "deadline_s": 0.4}  # after the deadline there is no retry


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"content-type: application/json\r\ncontent-length: 999999\r\n\r\n{", b" "),
        (b"content-type: text/event-stream\r\n\r\n", b": wait\n\n"),
        (b"x-slow: ", b"y"),
    ],
    ids=["body", "comments", "headers"],
)
def test_the_timeout_ends_a_call_without_content(
    monkeypatch: pytest.MonkeyPatch, entry_point: EntryPoint, head: bytes, drip: bytes
) -> None:
    """Bytes arrive all the time, but no reply: the timeout is that of the call. After a minute it would break off."""
    with raw_server(monkeypatch, head, drip) as times:
        with pytest.raises(ModelError, match=r"within 0\.5 s: .*--turn-timeout"):
            entry_point("6 x 7?", ONE_ATTEMPT)
        assert len(times) == 1


@pytest.mark.parametrize("name", ["stream", "astream"])
def test_the_timeout_ends_a_slow_reply(scripted: Scripted, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The connection is closed, so that the provider stops writing, and nothing is logged."""
    groq = scripted(lambda request: Reply("word " * 400, chunk_delay=0.05))
    with pytest.raises(ModelError, match=r"within 0\.5 s: .*--turn-timeout"):
        ENTRY_POINTS[name]("6 x 7?", ONE_ATTEMPT)
    groq.wait(0)
    assert (len(groq.requests), groq.disconnects) == (1, 1)
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["stream", "astream"])
def test_a_reply_far_beyond_max_tokens_is_closed(
    scripted: Scripted, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed, and the text before the limit is kept."""
    groq = scripted(lambda request: Reply(first() + " more" * 3000, chunk_delay=0.002))
    result = ENTRY_POINTS[name]("6 x 7?", {"max_turns": 1, "max_tokens": 64})
    groq.wait(0)
    assert (len(groq.requests), groq.disconnects) == (1, 1)
    assert result["turns"][0]["text"].startswith(first())
    assert caplog.messages == []


def test_a_reply_far_beyond_max_tokens_is_truncated(scripted: Scripted, entry_point: EntryPoint) -> None:
    """A provider that ignores max_tokens does not fill the next prompt."""
    groq = scripted([first() + " more" * 60_000, refine(), synthesis()])
    result = entry_point("6 x 7?", {"max_turns": 2, "max_tokens": 64})
    groq.wait(0)
    turn = result["turns"][0]
    assert (len(turn["text"]) < 64 * 40, turn["answer"][:7], turn["finish_reason"]) == (True, "42 more", "length")
    assert max(len(request.raw) for request in groq.requests) < 20_000
    assert (result["answer"], result["stop_reason"]) == ("The answer is 42.", "max_turns")
    assert result["degraded"] == "Cut short at max_tokens (64; --max-tokens raises it): turn 1."


@pytest.mark.parametrize("text", [first("41"), "## Reas"], ids=["whole", "half"])
def test_a_reply_truncated_at_max_tokens_is_reported(scripted: Scripted, entry_point: EntryPoint, text: str) -> None:
    """It is not retried, since it would be truncated again; the next turn sees it."""
    groq = scripted([Reply(text, finish_reason="length"), refine("42"), synthesis("It is 42.", "42")])
    result = entry_point("6 x 7?", {"max_turns": 2})
    assert len(groq.requests) == 3
    assert [(turn["text"], turn["finish_reason"]) for turn in result["turns"]] == [
        (text, "length"),
        (refine("42"), "stop"),
    ]
    assert (result["answer"], result["stop_reason"]) == ("It is 42.", "max_turns")
    assert result["degraded"] == "Cut short at max_tokens (2048; --max-tokens raises it): turn 1."


@pytest.mark.parametrize("settings", [{}, {"deadline_s": 30}], ids=["no deadline", "a nearer deadline"])
@pytest.mark.parametrize("retry_after", [61, 3600])
def test_too_long_a_retry_after_fails_at_once(
    scripted: Scripted, entry_point: EntryPoint, settings: dict[str, Any], retry_after: int
) -> None:
    """The error names the setting that allows the wait."""
    groq = scripted([Reply(status=429, headers={"retry-after": str(retry_after)})])
    with pytest.raises(ModelError, match=rf"429: .*wait {retry_after} s .*deadline_s \(--deadline\)"):
        entry_point("6 x 7?", settings)
    assert len(groq.requests) == 1


def test_retry_after_can_be_seconds_or_a_date(scripted: Scripted) -> None:
    """Two seconds are more than the wait before a first retry."""
    waits = {"invoke": "2", "stream": formatdate(time.time() + 4, usegmt=True), "ainvoke": "2.0", "astream": "2"}
    faults = {name: Reply(status=429, headers={"retry-after": wait}) for name, wait in waits.items()}
    groq = scripted(ScriptPerQuestion({name: [fault] for name, fault in faults.items()}))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: ENTRY_POINTS[name](name, {"max_turns": 1}), waits))
    for name in waits:
        times = [request.time for request in groq.requests if request.messages[1]["content"].startswith(f"{name}\n")]
        assert len(times) == 2
        assert times[1] - times[0] >= 2, name


async def test_a_long_retry_after_needs_a_deadline_that_allows_it(scripted: Scripted) -> None:
    """Cancelling the run ends the wait."""
    groq = scripted([Reply(status=429, headers={"retry-after": "61"})])
    run = asyncio.create_task(ainvoke("6 x 7?", {"deadline_s": 1000}))
    done, _ = await asyncio.wait([run], timeout=2)  # more than the wait before a first retry
    assert (done, len(groq.requests)) == (set(), 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def test_seconds_of_earlier_turns_count_towards_the_deadline(scripted: Scripted) -> None:
    """After 990 of 1,000 s there is no time for a wait of 61 s, and the first turn's answer is the answer."""
    groq = scripted([first(), Reply(status=429, headers={"retry-after": "61"})])
    graph = build_graph(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    settings: Any = {"deadline_s": 1000}
    graph.invoke({"query": "6 x 7?"}, config, context=settings, interrupt_after=["first_turn"])
    usage = graph.get_state(config).values["usage"]
    fork = graph.update_state(config, {"usage": {**usage, "seconds": 990}})
    result = graph.invoke(None, fork, context=settings)
    assert (result["answer"], result["stop_reason"], len(groq.requests)) == ("42", "error", 2)
    assert "wait 61 s" in result["degraded"]


@pytest.mark.parametrize("ask", [ainvoke, astream])
@pytest.mark.parametrize("before", [0, 2, 3])
async def test_cancelling_a_run_cancels_its_call(scripted: Scripted, ask: Any, before: int) -> None:
    """The provider sees the client disconnect, and there is no retry."""
    groq = scripted([*GOOD[:before], Reply("word " * 999, chunk_delay=0.02)])
    if ask is ainvoke:
        groq = scripted([*GOOD[:before], Reply(hang=True)])
    run = asyncio.create_task(ask("6 x 7?", {}))
    while len(groq.requests) <= before:
        await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await asyncio.to_thread(groq.wait)
    assert (groq.disconnects, len(groq.requests)) == (1, before + 1)


async def test_leaving_a_stream_cancels_its_call(scripted: Scripted) -> None:
    """As a web server does when its own client disconnects."""
    groq = scripted([Reply("word " * 999, chunk_delay=0.02)])
    async with aclosing(graph.astream({"query": "6 x 7?"}, stream_mode="messages")) as parts:  # type: ignore[type-var]
        async for _ in parts:
            break
    await asyncio.to_thread(groq.wait)
    assert (groq.disconnects, len(groq.requests)) == (1, 1)


def test_an_account_without_credit_is_not_asked_again(scripted: Scripted) -> None:
    groq = scripted([Reply(status=429, error={"message": "You exceeded your quota", "code": "insufficient_quota"})])
    with pytest.raises(ModelError, match="answered 429: the account has nothing left: check its plan"):
        graph.invoke({"query": "6 x 7?"})
    assert len(groq.requests) == 1
