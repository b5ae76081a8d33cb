"""A call of the local model: only its silence is limited, and a server that dies is started again, once."""

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.models.client import acall_model
from llamaberry.models.local import server as local_server
from testing.command import COMMAND, LIMIT_S, llamaberry
from testing.local_model import ScriptedLocal, use_scripted_local
from testing.scripted_groq import first
from testing.sockets import closed_port

ONE_TURN = ("--model", "local", "--turns", "1", "--verify", "none")


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedLocal]:
    """Script the local model, and stop its server at the end."""
    yield use_scripted_local(tmp_path, monkeypatch)
    local_server.close()


def call(limit_s: float = 60) -> Any:
    """Call the local model with this limit of silence."""
    return asyncio.run(ask(limit_s))


async def ask(limit_s: float) -> Any:
    context = Context(model="local", turn_timeout_s=limit_s / 10)
    return await acall_model(context, [HumanMessage("Q")], None, time.time())


# -------------------------------------------------------------------------------------------------------- the silence


def test_a_slow_reply_may_take_longer_than_the_limit(local: ScriptedLocal) -> None:
    """As long as it is still being written, also if the caller does not stream."""
    local.play({"text": "one two three four five six seven eight", "pause": 0.5})
    reply = call(limit_s=2.5)
    assert reply.message.text == "one two three four five six seven eight"
    assert reply.seconds > 2.5
    assert [request["stream"] for request in local.requests] == [True]


def test_a_silent_model_ends_the_call(local: ScriptedLocal) -> None:
    local.play({"text": "one two three", "stall": 2})
    with pytest.raises(ModelError, match=r"^local:scripted wrote nothing for 1 s: .*--turn-timeout") as caught:
        call(limit_s=1)
    assert not caught.value.retryable
    assert len(local.requests) == 1


def test_a_call_that_waits_for_a_slot_is_not_silent(local: ScriptedLocal) -> None:
    """Its reply begins when the other one, which took longer than the limit, is complete."""
    local.play({"text": "a b c d e f g h", "pause": 0.5}, {"text": "late", "wait": 4})

    async def both() -> list[str]:
        return [reply.message.text for reply in await asyncio.gather(ask(2), ask(2))]

    assert sorted(asyncio.run(both())) == ["a b c d e f g h", "late"]


def test_cancelling_a_call_ends_it(local: ScriptedLocal) -> None:
    local.play({"text": "one two", "stall": 1})

    async def cancel() -> None:
        task = asyncio.create_task(ask(60))
        while not local.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY", "OPENAI_PROXY"])
def test_the_local_model_needs_no_proxy(local: ScriptedLocal, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    local.play({"text": "Yes"})
    assert call().message.text == "Yes"


# ---------------------------------------------------------------------------------------------------------- the server


@pytest.mark.parametrize("pieces", [0, 2], ids=["before the reply", "in the reply"])
def test_a_server_that_dies_is_started_again(local: ScriptedLocal, pieces: int) -> None:
    local.play({"text": "one two three", "die": pieces}, {"text": "one two three"})
    assert call().message.text == "one two three"
    assert len(local.requests) == 2


def test_a_server_that_dies_twice_is_an_error(local: ScriptedLocal) -> None:
    local.play(*[{"text": "one two three", "die": 1}] * 3)
    with pytest.raises(
        ModelError, match=r"its server was killed \(signal 9, .*memory.*LLAMABERRY_LOCAL_SLOTS=1"
    ) as caught:
        call()
    assert not caught.value.retryable
    assert len(local.requests) == 2


def test_calls_in_flight_share_the_server_that_is_started_again(local: ScriptedLocal) -> None:
    local.play({"text": "a b", "stall": 1}, {"text": "a b", "wait": 1, "die": 0}, {"text": "Yes"}, {"text": "Yes"})

    async def both() -> list[str]:
        return [reply.message.text for reply in await asyncio.gather(ask(60), ask(60))]

    assert asyncio.run(both()) == ["Yes", "Yes"]


# ---------------------------------------------------------------------------------------------------- the command line


def test_a_silent_models_error_has_its_own_line_and_a_way_on(local: ScriptedLocal) -> None:
    """What was written stays on the screen, and the question on its thread."""
    local.play({"text": "some words of a reply", "stall": 3}, {"text": first("42")})
    words = ("ask", "Q", "-v", *ONE_TURN, "--turn-timeout", "0.1", "--thread", "T")
    run = subprocess.run(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        env=os.environ,
        check=False,
    )
    *_, written, message = run.stdout.splitlines()
    assert (run.returncode, written) == (1, "some words of")
    assert re.fullmatch(
        r"llamaberry: local:scripted wrote nothing for 1 s: .*; `llamaberry resume T` tries again", message
    )
    resumed = llamaberry("resume", "T", "--quiet", "--turn-timeout", "10")
    assert (resumed.returncode, resumed.stdout, resumed.stderr) == (0, "42\n", "")


def test_a_repeated_reply_is_marked_on_the_screen(local: ScriptedLocal) -> None:
    local.play({"text": "some words of a reply", "die": 3}, {"text": first("42")})
    run = llamaberry("ask", "Q", "-v", *ONE_TURN)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("── turn 1 ──\nsome words of\n── turn 1, again ──\n## Reasoning")


def test_proxies_change_nothing_on_the_command_line(local: ScriptedLocal) -> None:
    """Not even a warning is printed."""
    local.play({"text": first("42")})
    proxies = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "all_proxy"), "socks5://user:planted@proxy.invalid:x")
    run = llamaberry("ask", "Q", *ONE_TURN, "--quiet", **proxies)
    assert (run.returncode, run.stdout, run.stderr) == (0, "42\n", "")
