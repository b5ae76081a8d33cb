"""Several servers as deploy/ sets them up: a dead one loses nothing, and nothing is paid for twice.

pytest -m scale
"""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from testing.cluster import KEY, Cluster, cluster, server_python, settings
from testing.command import at_once, begun, until, without_figures
from testing.scripted_groq import Reply, Request, ScriptedGroq, good_model
from testing.scripts import counted, nth_call
from testing.server import ROOT

pytestmark = pytest.mark.scale

CALLS = (1, 2, 3, 4)
RUNS = 50


@pytest.fixture(scope="module")
def module() -> Iterator[tuple[Cluster, ScriptedGroq]]:
    with ScriptedGroq() as groq, cluster(groq) as made:
        yield made, groq


@pytest.fixture
def servers(module: tuple[Cluster, ScriptedGroq], monkeypatch: pytest.MonkeyPatch) -> tuple[Cluster, ScriptedGroq]:
    """Two servers that are up, and a model that takes its time."""
    monkeypatch.setenv("LLAMABERRY_API_KEY", KEY)
    made, groq = module
    groq.play(slow)
    for port in made.ports:
        if str(port) not in made.running:
            made.start_server(port)
        made.wait_for(port)
    return module


def slow(request: Request) -> Reply:
    return Reply(good_model(request), delay=1)


def asking(made: Cluster, *words: str) -> Any:
    """Begin to ask by the command line, through nginx."""
    return begun("ask", *words, "--server", made.address, env=dict(os.environ))


def holder(made: Cluster, question: str) -> int:
    """Return the port of the server that runs a question, as its lease tells."""
    with psycopg.connect(made.database) as connection:
        held = connection.execute("SELECT claimed_by FROM runs WHERE input->>'query' = %s", [question]).fetchone()
    assert held, question
    pids = {made.running[str(port)].pid: port for port in made.ports if str(port) in made.running}
    return next(port for pid, port in pids.items() if f"-{pid}-" in str(held[0]))


def threads(client: SyncLangGraphClient) -> dict[str, Any]:
    """Return the values of all threads that are kept."""
    names = [thread["thread_id"] for thread in client.threads.search(limit=1000)]
    return {name: client.threads.get_state(name)["values"] for name in names}


def once(out: str) -> None:
    """Each turn stands there once, in order, with its answer at the end."""
    lines = re.findall(r"^turn (\d) · \w+ · ", out, re.MULTILINE)
    assert lines == ["1", "2", "3"]
    heads = re.findall(r"^── (.*) ──$", out, re.MULTILINE)
    assert [head for head in heads if not head.endswith(", again")] == [
        "turn 1",
        "turn 2",
        "turn 3",
        "synthesis",
        "answer",
    ]
    assert "\nThe answer is 42.\n3 turns · max_turns · " in out


async def test_fifty_runs_survive_a_server_that_is_killed_and_so_do_their_streams(
    servers: tuple[Cluster, ScriptedGroq],
) -> None:
    """Each has each turn once. What was finished is not asked again, and none begins again at its first turn."""
    made, groq = servers
    async with get_client(url=made.address, api_key=KEY) as client:

        async def begin(question: str) -> tuple[str, str]:
            thread = (await client.threads.create())["thread_id"]
            run = await client.runs.create(thread, "llamaberry", input={"query": question}, stream_mode=["values"])
            return thread, run["run_id"]

        with asking(made, "stream 1") as one, asking(made, "stream 2") as two:
            await asyncio.to_thread(until, lambda: len(groq.requests) >= 2)
            runs = await asyncio.gather(*(begin(f"question {n}") for n in range(RUNS)))
            await asyncio.to_thread(until, lambda: len(groq.requests) >= 2 * RUNS + 10)
            port = await asyncio.to_thread(holder, made, "stream 1")
            made.stop(port, signal.SIGKILL)
            before = counted(groq)
            ends = await asyncio.gather(*(client.runs.join(*run) for run in runs))
            streams = [await asyncio.to_thread(run.communicate, timeout=60) for run in (one, two)]
    for n, state in enumerate(ends):
        assert isinstance(state, dict)
        assert (state["query"], state["stop_reason"], state["degraded"]) == (f"question {n}", "max_turns", None)
        assert [turn["index"] for turn in state["turns"]] == [1, 2, 3]
        assert [message["type"] for message in state["messages"]] == ["human", "ai"]
    for (out, told), run in zip(streams, (one, two), strict=True):
        assert (run.returncode, told) == (0, "")
        once(out)
    after = counted(groq)
    questions = [f"question {n}" for n in range(RUNS)] + ["stream 1", "stream 2"]
    last = {question: max(n for asked, n in before if asked == question) for question in questions}
    again = {(question, n) for question in questions for n in CALLS if after[question, n] == 2}
    assert set(after) == {(question, n) for question in questions for n in CALLS}
    assert max(after.values()) == 2  # the calls that were under way, and no others
    assert all(last[question] == n for question, n in again)
    assert any(n > 1 for _, n in again)


def test_a_server_that_is_told_to_stop_works_its_runs_off(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """Within the time that systemd allows; streams go on at the other one, and no call is made twice."""
    made, groq = servers
    with asking(made, "drain 1") as one, asking(made, "drain 2") as two:
        until(lambda: len(groq.requests) >= 3)
        assert made.stop(holder(made, "drain 1")) == -signal.SIGTERM  # by which systemd knows a clean end
        for run in (one, two):
            out, told = run.communicate(timeout=60)
            assert (run.returncode, told) == (0, "")
            once(out)
    assert set(counted(groq).values()) == {1}


def test_everything_is_restarted_and_every_thread_is_still_there(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """PostgreSQL recovers, Redis begins empty; a run that was under way goes on where it was."""
    made, groq = servers
    hanging = iter([Reply(hang=True)])
    asked = ["ask", "Q", "-q", "--turns", "1", "--server", made.address, "--thread", "kept"]
    (run,) = at_once(tuple(asked))
    assert (run.returncode, run.stdout) == (0, "42\n"), run.stderr
    groq.play(lambda request: next(hanging, slow(request)) if nth_call(request)[1] == 2 else slow(request))
    with get_sync_client(url=made.address, api_key=KEY) as client:
        kept = threads(client)
        with asking(made, "under way") as running:
            until(lambda: len(groq.requests) == 2)
            made.stop_all()
            made.crash_postgres()
            made.start()
            now = threads(client)
            assert {thread: now[thread] for thread in kept} == kept
            out, told = running.communicate(timeout=60)
        assert (running.returncode, told) == (0, "")
        once(out)
    assert counted(groq) == {("under way", n): 1 + (n == 2) for n in CALLS}
    (run,) = at_once((*asked, "--json"))
    assert len(json.loads(run.stdout)["messages"]) == 4


def test_of_two_that_ask_a_thread_at_once_one_is_refused(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """The servers would run both, and each would lose the other's turns."""
    made, _ = servers
    ask = ("ask", "Q", "-q", "--turns", "1", "--server", made.address, "--thread", "both")
    runs = at_once(ask, ask)
    assert sorted(run.returncode for run in runs) == [0, 2]
    assert any("is busy" in run.stderr for run in runs)
    (run,) = at_once((*ask, "--json"))
    assert [message["content"] for message in json.loads(run.stdout)["messages"][-2:]] == ["Q", "42"]


def test_nothing_is_served_without_the_key_and_the_door_is_there(servers: tuple[Cluster, ScriptedGroq]) -> None:
    made, groq = servers
    groq.play()
    question = {"model": "llamaberry-quick", "messages": [{"role": "user", "content": "Q"}]}
    with httpx.Client(base_url=made.address, timeout=30) as client:
        for path in ("/", "/threads", "/health", "/ready", "/info", "/docs", "/openapi.json", "/v1/models", "/nowhere"):
            for headers in ({}, {"x-api-key": "wrong"}, {"x-auth-scheme": "langsmith"}):
                assert client.get(path, headers=headers).status_code == 401, path
        reply = client.post("/v1/chat/completions", json=question, headers={"authorization": f"Bearer {KEY}"})
    assert reply.json()["choices"][0]["message"]["content"] == "42"


def test_a_turn_is_printed_here_as_it_is_without_a_server(servers: tuple[Cluster, ScriptedGroq]) -> None:
    made, groq = servers
    groq.play()
    ask = ("ask", "Q", "--turns", "2")
    (far,) = at_once((*ask, "--server", made.address))
    here = {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq.url, "LLAMABERRY_CHECKPOINTS": "none"}
    (near,) = at_once(ask, **here)
    assert without_figures(far.stdout) == without_figures(near.stdout)


def test_what_the_servers_run_on_is_locked() -> None:
    frozen = [server_python(), "-m", "pip", "freeze", "--exclude-editable"]
    there = subprocess.run(frozen, capture_output=True, text=True, check=True).stdout.split()
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert {line for line in there if not line.startswith("llamaberry")} <= set(locked)


def test_every_setting_that_ships_is_one_that_the_engine_or_llamaberry_reads() -> None:
    """A typing error would leave a default in its place."""
    code = "import json; from aegra_api import settings as s; from pydantic_settings import BaseSettings as B; "
    code += "groups = [c for c in vars(s).values() if isinstance(c, type) and issubclass(c, B)]; "
    code += "print(json.dumps([name for group in groups for name in group.model_fields]))"
    ran = subprocess.run([server_python(), "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(settings()) - set(json.loads(ran.stdout)) == {"GROQ_API_KEY", "LLAMABERRY_API_KEY"}
