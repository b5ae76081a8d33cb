"""Failed calls: which are retried and how often, when they fail for good, and what the error message says."""

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


class Plays:
    """A model that plays a script of its own for each question, then is a good model; it counts their requests."""

    def __init__(self, scripts: dict[str, list[Reply | str]]) -> None:
        self.scripts = {question: iter(script) for question, script in scripts.items()}
        self.asked: Counter[str] = Counter()

    def __call__(self, request: Request) -> Reply | str:
        question = request.messages[1]["content"].split("\n")[0]
        self.asked[question] += 1
        return next(self.scripts[question], good_model(request))


# Faults that are retried -> the error message if they persist.
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
    "time-out": (Reply(hang=True), r"within 1\.5 s: allow more with turn_timeout_s \(--turn-timeout\)"),
}
DIALS: dict[str, dict[str, Any]] = {name: {} for name in PASSING} | {"time-out": {"turn_timeout_s": 1.5}}
GOOD: list[str] = [first(), refine(), refine(), synthesis()]


def test_what_may_pass_is_tried_again_once_more_and_no_turn_is_lost_or_doubled(
    scripted: Scripted, entry_point: EntryPoint
) -> None:
    """Whichever of the four calls it hits: five requests in all, and the result is that of a run without a fault."""
    plays = Plays({name: [*GOOD[: n % 4], fault] for n, (name, (fault, _)) in enumerate(PASSING.items())})
    scripted(plays)
    for name, result in ask_concurrently(entry_point, DIALS).items():
        assert not isinstance(result, Exception), (name, result)
        assert [turn["text"] for turn in result["turns"]] == GOOD[:3], name
        assert (result["answer"], result["degraded"]) == ("The answer is 42.", None), name
    assert plays.asked == dict.fromkeys(PASSING, 5)


@pytest.mark.parametrize("name", ["invoke", "astream"])
def test_what_does_not_pass_fails_after_three_requests_with_the_cause(scripted: Scripted, name: str) -> None:
    """Three in all: the client's own retries are off, or they would multiply."""
    plays = Plays({name: [reply] * 12 for name, (reply, _) in PASSING.items()})
    scripted(plays)
    for fault, error in ask_concurrently(ENTRY_POINTS[name], DIALS).items():
        with pytest.raises(ModelError, match=f"^groq:openai/gpt-oss-120b .*{PASSING[fault][1]}"):
            raise error
    assert plays.asked == dict.fromkeys(PASSING, 3)


@pytest.mark.parametrize(
    "fault",
    [*(Reply(status=status) for status in (400, 401, 403, 404, 413, 422)), Reply(status=503, headers=NO_RETRY)],
    ids=lambda fault: str(fault.status),
)
@pytest.mark.parametrize("before", [0, 1, 3], ids=["first turn", "refine turn", "synthesis"])
def test_what_cannot_heal_is_never_tried_again(
    scripted: Scripted, entry_point: EntryPoint, fault: Reply, before: int
) -> None:
    """Wherever it happens; nor is what the provider says not to try again."""
    groq = scripted([*GOOD[:before], *[fault] * 9])
    if before:
        assert f"answered {fault.status}: " in entry_point("6 x 7?", {})["degraded"]
    else:
        with pytest.raises(ModelError, match=f"answered {fault.status}: "):
            entry_point("6 x 7?", {})
    assert len(groq.requests) == before + 1


@contextmanager
def raw_server(monkeypatch: pytest.MonkeyPatch, head: bytes, drip: bytes = b"") -> Iterator[list[float]]:
    """Be where ChatGroq goes: say `head`, then `drip` every 20 ms, for 8 s at most. Yields when it was asked."""
    asked: list[float] = []

    def answer(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            asked.append(time.monotonic())
            client.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + head)
            while drip and not closed.wait(0.02) and time.monotonic() < asked[0] + 8:
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
            yield asked
        finally:
            closed.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("body", [b"", b"data: [DONE]\n\n"], ids=["nothing", "only its end"])
def test_a_stream_that_holds_no_reply_at_all_is_tried_again(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """It is an empty reply, whatever the client makes of it."""
    with raw_server(monkeypatch, b"content-type: text/event-stream\r\n\r\n" + body) as asked:
        with pytest.raises(ModelError):
            stream("6 x 7?", {})
        assert len(asked) == 3


ONE_TRY = {"max_turns": 1, "turn_timeout_s": 0.5, "deadline_s": 0.4}  # past the deadline nothing is tried again


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"content-type: application/json\r\ncontent-length: 999999\r\n\r\n{", b" "),
        (b"content-type: text/event-stream\r\n\r\n", b": wait\n\n"),
        (b"x-slow: ", b"y"),
    ],
    ids=["body", "comments", "headers"],
)
def test_the_time_limit_ends_a_call_that_drips_on_without_a_word(
    monkeypatch: pytest.MonkeyPatch, entry_point: EntryPoint, head: bytes, drip: bytes
) -> None:
    """Each byte comes in time, and the whole never does: it is the call that is limited."""
    begun = time.monotonic()
    with raw_server(monkeypatch, head, drip) as asked:
        with pytest.raises(ModelError, match=r"within 0\.5 s: .*--turn-timeout"):
            entry_point("6 x 7?", ONE_TRY)
        assert time.monotonic() - begun < 6
        assert len(asked) == 1


@pytest.mark.parametrize("name", ["stream", "astream"])
def test_the_time_limit_ends_a_reply_that_drips_on(
    scripted: Scripted, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed, so that the provider stops writing; only the error reports it."""
    groq = scripted(lambda request: Reply("word " * 400, chunk_delay=0.05))
    with pytest.raises(ModelError, match=r"within 0\.5 s: .*--turn-timeout"):
        ENTRY_POINTS[name]("6 x 7?", ONE_TRY)
    groq.wait(0)
    assert (len(groq.requests), groq.disconnects) == (1, 1)
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["stream", "astream"])
def test_a_reply_that_runs_away_is_hung_up_and_said(
    scripted: Scripted, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What came before the limit is kept."""
    groq = scripted(lambda request: Reply(first() + " more" * 3000, chunk_delay=0.002))
    result = ENTRY_POINTS[name]("6 x 7?", {"max_turns": 1, "max_tokens": 64})
    groq.wait(0)
    assert (len(groq.requests), groq.disconnects) == (1, 1)
    assert result["turns"][0]["text"].startswith(first())
    assert caplog.messages == []


def test_a_reply_is_bounded_and_its_cut_is_told(scripted: Scripted, entry_point: EntryPoint) -> None:
    """A provider that ignores max_tokens fills neither the memory nor the next prompt."""
    groq = scripted([first() + " more" * 60_000, refine(), synthesis()])
    result = entry_point("6 x 7?", {"max_turns": 2, "max_tokens": 64})
    groq.wait(0)
    turn = result["turns"][0]
    assert (len(turn["text"]) < 64 * 40, turn["answer"][:7], turn["finish_reason"]) == (True, "42 more", "length")
    assert max(len(request.raw) for request in groq.requests) < 20_000
    assert (result["answer"], result["stop_reason"]) == ("The answer is 42.", "max_turns")
    assert result["degraded"] == "Cut short at max_tokens (64; --max-tokens raises it): turn 1."


@pytest.mark.parametrize("text", [first("41"), "## Reas", ""], ids=["whole", "half", "empty"])
def test_a_reply_cut_at_max_tokens_is_kept_and_marked_and_the_dial_named(
    scripted: Scripted, entry_point: EntryPoint, text: str
) -> None:
    """Trying again would cut it again; what there is goes to the next turn."""
    groq = scripted([Reply(text, finish_reason="length"), refine("42"), synthesis("It is 42.", "42")])
    result = entry_point("6 x 7?", {"max_turns": 2})
    assert len(groq.requests) == 3
    assert [(turn["text"], turn["finish_reason"]) for turn in result["turns"]] == [
        (text, "length"),
        (refine("42"), "stop"),
    ]
    assert (result["answer"], result["stop_reason"]) == ("It is 42.", "max_turns")
    assert result["degraded"] == "Cut short at max_tokens (2048; --max-tokens raises it): turn 1."


@pytest.mark.parametrize("dials", [{}, {"deadline_s": 30}], ids=["no deadline", "a nearer deadline"])
@pytest.mark.parametrize("ahead", [61, 3600])
def test_a_wait_that_is_too_long_is_not_begun_but_named(
    scripted: Scripted, entry_point: EntryPoint, dials: dict[str, Any], ahead: int
) -> None:
    """The message also names the setting that would allow the wait."""
    groq = scripted([Reply(status=429, headers={"retry-after": str(ahead)})])
    with pytest.raises(ModelError, match=rf"429: .*wait {ahead} s .*deadline_s \(--deadline\)"):
        entry_point("6 x 7?", dials)
    assert len(groq.requests) == 1


def test_retry_after_is_honoured_as_seconds_and_as_a_date(scripted: Scripted) -> None:
    """Two seconds are more than we would wait by ourselves."""
    asks = {"invoke": "2", "stream": formatdate(time.time() + 4, usegmt=True), "ainvoke": "2.0", "astream": "2"}
    groq = scripted(Plays({name: [Reply(status=429, headers={"retry-after": wait})] for name, wait in asks.items()}))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: ENTRY_POINTS[name](name, {"max_turns": 1}), asks))
    for name in asks:
        times = [request.time for request in groq.requests if request.messages[1]["content"].startswith(f"{name}\n")]
        assert len(times) == 2
        assert times[1] - times[0] >= 2, name


async def test_a_long_wait_is_begun_where_the_deadline_allows_it(scripted: Scripted) -> None:
    """It neither fails nor asks again before its time; and cancelling the run ends the wait."""
    groq = scripted([Reply(status=429, headers={"retry-after": "61"})])
    run = asyncio.create_task(ainvoke("6 x 7?", {"deadline_s": 1000}))
    done, _ = await asyncio.wait([run], timeout=2)  # more than the first retry waits by itself
    assert (done, len(groq.requests)) == (set(), 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def test_the_seconds_of_earlier_turns_count_against_the_deadline(scripted: Scripted) -> None:
    """Of 1,000 s 990 were thought: no wait of 61 s fits, and the turn stands."""
    groq = scripted([first(), Reply(status=429, headers={"retry-after": "61"})])
    kept = build_graph(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    dials: Any = {"deadline_s": 1000}
    kept.invoke({"query": "6 x 7?"}, config, context=dials, interrupt_after=["first_turn"])
    edited = kept.update_state(config, {"turns": [{"index": 1, "seconds": 990}]})
    result = kept.invoke(None, edited, context=dials)
    assert (result["answer"], result["stop_reason"], len(groq.requests)) == ("42", "error", 2)
    assert "wait 61 s" in result["degraded"]


@pytest.mark.parametrize("ask", [ainvoke, astream])
@pytest.mark.parametrize("before", [0, 2, 3])
async def test_cancelling_a_run_cancels_its_call(scripted: Scripted, ask: Any, before: int) -> None:
    """The provider sees its client leave, and is not asked again."""
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
    """As a web server does when its own client has gone."""
    groq = scripted([Reply("word " * 999, chunk_delay=0.02)])
    async with aclosing(graph.astream({"query": "6 x 7?"}, stream_mode="messages")) as parts:  # type: ignore[type-var]
        async for _ in parts:
            break
    await asyncio.to_thread(groq.wait)
    assert (groq.disconnects, len(groq.requests)) == (1, 1)
