"""A batch respects the provider's rate limit: it waits before a refusal, and after one all its calls wait."""

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from llamaberry import Context, graph
from llamaberry.batch.run import BatchSummary, batch
from llamaberry.models.pacer import parse_duration
from testing.batch import read_lines, write_questions
from testing.limited_groq import RateLimitedModel
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model
from testing.scripts import call_of

ONE = Context(max_turns=1)


def ignore(_: str) -> None:
    """Drop a message."""


async def run_batch(folder: Path, count: int, context: Context = ONE, **how: Any) -> list[dict[str, Any]]:
    """Run a batch of `count` questions in this process, check that all are answered, and return its results."""
    source, out = write_questions(folder, *map(str, range(count))), folder / "out.jsonl"
    summary = await batch(Path(source), out, context, **{"notify": ignore, **how})
    assert (summary.answered, summary.degraded, summary.failed, summary.bad) == (count, 0, 0, 0)
    return read_lines(out)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2m59.56s", 179.56), ("7.66s", 7.66), ("500ms", 0.5), ("1h2m", 3720), ("6m0s", 360), ("", 0), ("soon", 0)],
)
def test_durations_in_headers_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("kind", ["bucket", "window"])
@pytest.mark.parametrize("resource", ["requests", "tokens"])
async def test_rate_limits_in_headers_are_respected(
    scripted: Scripted, tmp_path: Path, resource: Literal["requests", "tokens"], kind: Literal["bucket", "window"]
) -> None:
    """24 calls under a limit of 8 per second take two seconds, and almost none is refused."""
    limit = RateLimitedModel(8 * (2048 if resource == "tokens" else 1), 1.0, resource, kind)
    scripted(limit)
    await run_batch(tmp_path, 24)
    assert limit.answered == 24
    assert len(limit.refused_at) <= 2


async def test_a_refusal_halves_the_calls_in_flight(scripted: Scripted, tmp_path: Path) -> None:
    """Some limits are in no header, such as Groq's requests per minute."""
    open_requests: list[int] = []

    def script(request: Request) -> Reply:
        open_requests.append(groq.open_requests)
        if len(open_requests) == 40:
            return Reply(status=429, headers={"retry-after": "1"})
        return Reply(good_model(request), delay=0.2)

    groq = scripted(script)
    await run_batch(tmp_path, 100, concurrency=16)
    assert max(open_requests[60:]) <= 12


async def test_a_daily_limit_refills_gradually(scripted: Scripted, tmp_path: Path) -> None:
    """It is full again after 1000 s, and ten requests are refilled per second."""
    limit = RateLimitedModel(10_000, 1000.0, initial=2)
    scripted(limit)
    async with asyncio.timeout(300):
        await run_batch(tmp_path, 15)
    assert len(limit.refused_at) <= 3


async def test_the_first_call_runs_alone(scripted: Scripted, tmp_path: Path) -> None:
    """The limits are unknown before its reply."""
    groq = scripted(lambda request: Reply(good_model(request), delay=0.3))
    await run_batch(tmp_path, 5)
    first_at, second_at = (request.time for request in groq.requests[:2])
    assert second_at - first_at >= 0.3


async def test_a_retry_after_pauses_all_calls_and_counts_as_no_time(scripted: Scripted, tmp_path: Path) -> None:
    """The wait (3 s) is part of neither the timeout (2 s) nor the turn's seconds. Then one call runs alone."""
    wait_s, requests = 3.0, list[Request]()

    def script(request: Request) -> Reply:
        requests.append(request)
        if len(requests) == 30:
            return Reply(status=429, headers={"retry-after": str(wait_s)})
        return Reply(good_model(request), delay=0.1)

    scripted(script)
    results = await run_batch(tmp_path, 60, Context(max_turns=1, turn_timeout_s=2), concurrency=4)
    resumed_at = requests[29].time + wait_s
    meanwhile = [request for request in requests[30:] if request.time < resumed_at]
    assert len(meanwhile) <= 6  # in flight, or started before the refusal arrived
    first_at, second_at = (request.time for request in requests[30 + len(meanwhile) :][:2])
    assert second_at >= first_at + 0.1
    refused, _ = call_of(requests[29])
    assert next(line["usage"]["seconds"] for line in results if line["id"] == refused) < wait_s


async def test_a_long_wait_is_reported(scripted: Scripted, tmp_path: Path) -> None:
    messages: list[str] = []
    scripted(lambda _: Reply(status=429, headers={"retry-after": "7200"}))
    running = asyncio.create_task(run_batch(tmp_path, 1, notify=messages.append))
    while not messages:
        await asyncio.sleep(0.01)
    running.cancel()
    assert "7,200 s" in messages[0]


async def test_a_call_that_is_always_refused_fails(scripted: Scripted, tmp_path: Path) -> None:
    headers = {"retry-after": "0.001", "x-ratelimit-reset-tokens": "0s"}
    groq = scripted(lambda _: Reply(status=429, headers=headers))
    source, out = write_questions(tmp_path, "P"), tmp_path / "out.jsonl"
    assert await batch(Path(source), out, ONE, notify=ignore) == BatchSummary(0, 0, 1, 0)
    assert "429" in json.loads(out.read_text())["error"]
    assert 3 < len(groq.requests) < 50


async def test_a_refused_call_is_retried_more_often_than_a_failed_one(scripted: Scripted, tmp_path: Path) -> None:
    headers = {"retry-after": "0.001", "x-ratelimit-reset-tokens": "0s"}
    groq = scripted([*[Reply(status=429, headers=headers)] * 7, first()])
    await run_batch(tmp_path, 1)
    assert len(groq.requests) == 8


async def test_runs_outside_a_batch_are_not_paced(groq: ScriptedGroq, tmp_path: Path) -> None:
    """Not even after a batch, when the provider reports that nothing remains."""
    await run_batch(tmp_path, 1)
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "59s"}
    groq.play(lambda request: Reply(good_model(request), headers=headers))
    async with asyncio.timeout(300):
        await asyncio.gather(*(graph.ainvoke({"query": "Q"}) for _ in range(3)))
    assert len(groq.requests) == 12
