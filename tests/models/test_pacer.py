"""A batch keeps to the provider's rate limit: it waits before it is refused, and all of it waits where it is."""

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from llamaberry import Context, graph
from llamaberry.batch.run import BatchSummary, batch
from llamaberry.models.pacer import seconds
from testing.batch import lines, questions
from testing.limited_groq import Limited
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model
from testing.scripts import call

ONE = Context(max_turns=1)


def silence(_: str) -> None:
    """Nothing is to be told."""


async def answered(folder: Path, count: int, context: Context = ONE, **how: Any) -> list[dict[str, Any]]:
    """Run a batch of so many questions here, every one of which must be answered."""
    source, out = questions(folder, *map(str, range(count))), folder / "out.jsonl"
    assert await batch(Path(source), out, context, **{"tell": silence, **how}) == BatchSummary(count, 0, 0, 0)
    return lines(out)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("2m59.56s", 179.56), ("7.66s", 7.66), ("500ms", 0.5), ("1h2m", 3720), ("6m0s", 360), ("", 0), ("soon", 0)],
)
def test_the_spans_of_the_headers_are_read(written: str, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize("kind", ["bucket", "window"])
@pytest.mark.parametrize("what", ["requests", "tokens"])
async def test_a_limit_that_the_headers_tell_is_kept(
    scripted: Scripted, tmp_path: Path, what: Literal["requests", "tokens"], kind: Literal["bucket", "window"]
) -> None:
    """Two dozen calls where eight are allowed in a second: it takes two, and next to none is refused."""
    limit = Limited(8 * (2048 if what == "tokens" else 1), 1.0, what, kind)
    scripted(limit)
    await answered(tmp_path, 24)
    assert limit.answered == 24
    assert len(limit.refused) <= 2


async def test_after_a_refusal_half_as_many_are_under_way_at_once(scripted: Scripted, tmp_path: Path) -> None:
    """No header tells of some limits, as of Groq's requests a minute: a refusal tells how many are too many."""
    open_requests: list[int] = []

    def script(request: Request) -> Reply:
        open_requests.append(groq.open_requests)
        if len(open_requests) == 40:
            return Reply(status=429, headers={"retry-after": "1"})
        return Reply(good_model(request), delay=0.2)

    groq = scripted(script)
    await answered(tmp_path, 100, concurrency=16)
    assert max(open_requests[60:]) <= 12


async def test_a_limit_of_a_day_that_is_used_up_comes_back_bit_by_bit(scripted: Scripted, tmp_path: Path) -> None:
    """It is whole again in a quarter of an hour; ten come back in a second."""
    limit = Limited(10_000, 1000.0, left=2)
    scripted(limit)
    async with asyncio.timeout(300):
        await answered(tmp_path, 15)
    assert len(limit.refused) <= 3


async def test_the_first_call_goes_alone(scripted: Scripted, tmp_path: Path) -> None:
    """Of what is allowed nothing is known before its reply."""
    groq = scripted(lambda request: Reply(good_model(request), delay=0.3))
    await answered(tmp_path, 5)
    alone, next_one = (request.time for request in groq.requests[:2])
    assert next_one - alone >= 0.3


async def test_all_wait_as_long_as_a_refusal_asks_and_no_time_out_or_duration_counts_it(
    scripted: Scripted, tmp_path: Path
) -> None:
    """A call has two seconds, and the wait is three; the first one after it goes alone."""
    wait_s, requests = 3.0, list[Request]()

    def script(request: Request) -> Reply:
        requests.append(request)
        if len(requests) == 30:
            return Reply(status=429, headers={"retry-after": str(wait_s)})
        return Reply(good_model(request), delay=0.1)

    scripted(script)
    kept = await answered(tmp_path, 60, Context(max_turns=1, turn_timeout_s=2), concurrency=4)
    over = requests[29].time + wait_s
    meanwhile = [request for request in requests[30:] if request.time < over]
    assert len(meanwhile) <= 6  # under way, or begun before the refusal was read
    alone, next_one = (request.time for request in requests[30 + len(meanwhile) :][:2])
    assert next_one >= alone + 0.1
    refused, _ = call(requests[29])
    assert next(line["seconds"] for line in kept if line["id"] == refused) < wait_s


async def test_a_long_wait_is_told(scripted: Scripted, tmp_path: Path) -> None:
    told: list[str] = []
    scripted(lambda _: Reply(status=429, headers={"retry-after": "7200"}))
    running = asyncio.create_task(answered(tmp_path, 1, notify=told.append))
    while not told:
        await asyncio.sleep(0.01)
    running.cancel()
    assert "7,200 s" in told[0]


async def test_a_refusal_that_does_not_end_is_a_line_with_its_error(scripted: Scripted, tmp_path: Path) -> None:
    headers = {"retry-after": "0.001", "x-ratelimit-reset-tokens": "0s"}
    groq = scripted(lambda _: Reply(status=429, headers=headers))
    source, out = questions(tmp_path, "P"), tmp_path / "out.jsonl"
    assert await batch(Path(source), out, ONE, notify=silence) == BatchSummary(0, 0, 1, 0)
    assert "429" in json.loads(out.read_text())["error"]
    assert 3 < len(groq.requests) < 50


async def test_a_call_that_is_refused_often_is_made_again_when_it_may_be(scripted: Scripted, tmp_path: Path) -> None:
    """More often than a call that fails otherwise: a refusal says that it will be taken later."""
    headers = {"retry-after": "0.001", "x-ratelimit-reset-tokens": "0s"}
    groq = scripted([*[Reply(status=429, headers=headers)] * 7, first()])
    await answered(tmp_path, 1)
    assert len(groq.requests) == 8


async def test_a_run_that_is_no_batch_s_waits_for_nothing(groq: ScriptedGroq, tmp_path: Path) -> None:
    """Not even after a batch, where the provider says that nothing is left."""
    await answered(tmp_path, 1)
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "59s"}
    groq.play(lambda request: Reply(good_model(request), headers=headers))
    async with asyncio.timeout(300):
        await asyncio.gather(*(graph.ainvoke({"query": "Q"}) for _ in range(3)))
    assert len(groq.requests) == 12
