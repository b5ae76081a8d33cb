"""Several servers as deploy/ sets them up: when one dies, no turn is lost and no finished call is repeated.

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

from testing.cluster import KEY, Cluster, cluster, free_port, server_python, shipped_settings
from testing.command import LIMIT_S, mask_figures, run_concurrently, running_command, wait_until
from testing.keys import KEYS, SECRET, attempts, create_all
from testing.scripted_groq import Reply, Request, ScriptedGroq, good_model
from testing.scripts import count_nth_calls, nth_call_of
from testing.server import ROOT

pytestmark = pytest.mark.scale

CALLS = (1, 2, 3, 4)
RUNS = 50


@pytest.fixture(scope="module")
def module() -> Iterator[tuple[Cluster, ScriptedGroq]]:
    with ScriptedGroq() as groq, cluster(groq) as deployment:
        yield deployment, groq


@pytest.fixture
def servers(module: tuple[Cluster, ScriptedGroq], monkeypatch: pytest.MonkeyPatch) -> tuple[Cluster, ScriptedGroq]:
    """Two running servers, and a slow model."""
    monkeypatch.setenv("LLAMABERRY_API_KEY", KEY)
    deployment, groq = module
    groq.play(slow)
    for port in deployment.ports:
        if str(port) not in deployment.running:
            deployment.start_server(port)
        deployment.wait_for(port)
    return module


def slow(request: Request) -> Reply:
    return Reply(good_model(request), delay=1)


def start_asking(deployment: Cluster, *words: str) -> Any:
    """Start `llamaberry ask` through nginx."""
    return running_command("ask", "-v", *words, "--server", deployment.address, env=dict(os.environ))


def holder(deployment: Cluster, question: str) -> int:
    """Return the port of the server whose lease runs the question."""
    with psycopg.connect(deployment.database) as connection:
        lease = connection.execute("SELECT claimed_by FROM runs WHERE input->>'query' = %s", [question]).fetchone()
    assert lease, question
    pids = {deployment.running[str(port)].pid: port for port in deployment.ports if str(port) in deployment.running}
    return next(port for pid, port in pids.items() if f"-{pid}-" in str(lease[0]))


def threads(client: SyncLangGraphClient) -> dict[str, Any]:
    """Return the values of all stored threads."""
    names = [thread["thread_id"] for thread in client.threads.search(limit=1000)]
    return {name: client.threads.get_state(name)["values"] for name in names}


def check_output(out: str) -> None:
    """Check that the output has each turn once, in order, and then the answer."""
    lines = re.findall(r"^turn (\d) · ", out, re.MULTILINE)
    assert lines == ["1", "2", "3"]
    heads = re.findall(r"^── (.*) ──$", out, re.MULTILINE)
    assert [head for head in heads if not head.endswith(", again")] == [
        "turn 1",
        "turn 2",
        "turn 3",
        "synthesis",
        "answer",
    ]
    assert "\n3 turns · all turns used · " in out
    assert out.endswith("── answer ──\nThe answer is 42.\n")


async def test_runs_and_streams_survive_a_killed_server(
    servers: tuple[Cluster, ScriptedGroq],
) -> None:
    """Each run has each turn once, and no finished call is repeated."""
    deployment, groq = servers
    async with get_client(url=deployment.address, api_key=KEY) as client:

        async def begin(question: str) -> tuple[str, str]:
            thread = (await client.threads.create())["thread_id"]
            run = await client.runs.create(thread, "llamaberry", input={"query": question}, stream_mode=["values"])
            return thread, run["run_id"]

        with start_asking(deployment, "stream 1") as one, start_asking(deployment, "stream 2") as two:
            await asyncio.to_thread(wait_until, lambda: len(groq.requests) >= 2)
            runs = await asyncio.gather(*(begin(f"question {n}") for n in range(RUNS)))
            await asyncio.to_thread(wait_until, lambda: len(groq.requests) >= 2 * RUNS + 10)
            port = await asyncio.to_thread(holder, deployment, "stream 1")
            deployment.stop(port, signal.SIGKILL)
            before = count_nth_calls(groq)
            ends = await asyncio.gather(*(client.runs.join(*run) for run in runs))
            streams = [await asyncio.to_thread(run.communicate, timeout=60) for run in (one, two)]
    for n, state in enumerate(ends):
        assert isinstance(state, dict)
        assert (state["query"], state["stop_reason"], state["degraded"]) == (f"question {n}", "max_turns", None)
        assert [turn["index"] for turn in state["turns"]] == [1, 2, 3]
        assert [message["type"] for message in state["messages"]] == ["human", "ai"]
    for (out, errors), run in zip(streams, (one, two), strict=True):
        assert (run.returncode, errors) == (0, "")
        check_output(out)
    after = count_nth_calls(groq)
    questions = [f"question {n}" for n in range(RUNS)] + ["stream 1", "stream 2"]
    last = {question: max(n for name, n in before if name == question) for question in questions}
    repeated = {(question, n) for question in questions for n in CALLS if after[question, n] == 2}
    assert set(after) == {(question, n) for question in questions for n in CALLS}
    assert max(after.values()) == 2  # only the calls that were running
    assert all(last[question] == n for question, n in repeated)
    assert any(n > 1 for _, n in repeated)


def test_a_stopping_server_finishes_its_runs(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """Streams continue at the other server, and no call is repeated."""
    deployment, groq = servers
    with start_asking(deployment, "drain 1") as one, start_asking(deployment, "drain 2") as two:
        wait_until(lambda: len(groq.requests) >= 3)
        assert deployment.stop(holder(deployment, "drain 1")) == -signal.SIGTERM  # a clean exit for systemd
        for run in (one, two):
            out, errors = run.communicate(timeout=LIMIT_S)
            assert (run.returncode, errors) == (0, "")
            check_output(out)
    assert set(count_nth_calls(groq).values()) == {1}


def test_every_thread_survives_a_restart_of_everything(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """PostgreSQL recovers, Redis starts empty, and an interrupted run resumes."""
    deployment, groq = servers
    hanging = iter([Reply(hang=True)])
    command = ["ask", "Q", "-q", "--turns", "1", "--server", deployment.address, "--thread", "kept"]
    (run,) = run_concurrently(tuple(command))
    assert (run.returncode, run.stdout) == (0, "42\n"), run.stderr
    groq.play(lambda request: next(hanging, slow(request)) if nth_call_of(request)[1] == 2 else slow(request))
    with get_sync_client(url=deployment.address, api_key=KEY) as client:
        before = threads(client)
        with start_asking(deployment, "under way") as running:
            wait_until(lambda: len(groq.requests) == 2)
            deployment.stop_all()
            deployment.crash_postgres()
            deployment.start()
            now = threads(client)
            assert {thread: now[thread] for thread in before} == before
            out, errors = running.communicate(timeout=LIMIT_S)
        assert (running.returncode, errors) == (0, "")
        # Redis has lost events: a turn whose stream is among them is printed when the state has it, perhaps late.
        assert sorted(re.findall(r"^turn (\d) · ", out, re.MULTILINE)) == ["1", "2", "3"]
        assert out.count("## Answer\n42\n") >= 3
        assert out.split("── answer ──\n")[1].startswith("The answer is 42.\n")
    assert count_nth_calls(groq) == {("under way", n): 1 + (n == 2) for n in CALLS}
    (run,) = run_concurrently((*command, "--json"))
    assert len(json.loads(run.stdout)["messages"]) == 4


def test_a_busy_thread_refuses_a_second_question(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """Aegra would run both, and each would overwrite the other's turns."""
    deployment, _ = servers
    ask = ("ask", "Q", "-q", "--turns", "1", "--server", deployment.address, "--thread", "both")
    runs = run_concurrently(ask, ask)
    assert sorted(run.returncode for run in runs) == [0, 2]
    assert any("is busy" in run.stderr for run in runs)
    (run,) = run_concurrently((*ask, "--json"))
    assert [message["content"] for message in json.loads(run.stdout)["messages"][-2:]] == ["Q", "42"]


def test_aegra_serves_the_api_and_requires_the_key(servers: tuple[Cluster, ScriptedGroq]) -> None:
    deployment, groq = servers
    groq.play()
    question = {"model": "llamaberry-quick", "messages": [{"role": "user", "content": "Q"}]}
    with httpx.Client(base_url=deployment.address, timeout=30) as client:
        for path in ("/", "/threads", "/health", "/ready", "/info", "/docs", "/openapi.json", "/v1/models", "/nowhere"):
            for headers in ({}, {"x-api-key": "wrong"}, {"x-auth-scheme": "langsmith"}):
                assert client.get(path, headers=headers).status_code == 401, path
        reply = client.post("/v1/chat/completions", json=question, headers={"authorization": f"Bearer {KEY}"})
    assert reply.json()["choices"][0]["message"]["content"] == "42"


def test_a_server_without_a_key_does_not_start(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """As the example of the environment file has it: nginx would be open for everyone."""
    deployment, _ = servers
    port, environment = free_port(), deployment.environment
    deployment.environment = environment | {"LLAMABERRY_API_KEY": "", "LLAMABERRY_KEYS_FILE": ""}
    try:
        deployment.start_server(port)
        assert deployment.running.pop(str(port)).wait(60)
    finally:
        deployment.environment = environment
    assert "the server has no key" in (deployment.folder / f"{port}.log").read_text(encoding="utf-8")


def test_aegra_limits_each_key_to_its_own(servers: tuple[Cluster, ScriptedGroq]) -> None:
    """Every route of its API, with another's ids."""
    deployment, groq = servers
    groq.play()
    clients = [
        httpx.Client(base_url=deployment.address, headers={"x-api-key": key}, timeout=30) for key in KEYS.values()
    ]
    with clients[0] as anna, clients[1] as ann:
        described = ann.get("/openapi.json").json()["paths"]
        routes = [(method.upper(), path) for path, methods in described.items() for method in methods]
        assert len(routes) > 40
        ids = create_all(anna)
        before = anna.get(f"/threads/{ids['thread_id']}/state").json()
        for attempt in attempts(ann, routes, ids):
            assert SECRET not in attempt.text, attempt
            assert attempt.was_refused, attempt
        assert anna.get(f"/threads/{ids['thread_id']}/state").json() == before
        for name in ("assistants/{assistant_id}", "threads/{thread_id}/runs/{run_id}"):
            assert anna.get(f"/{name}".format_map(ids)).status_code == 200
        assert [item["cron_id"] for item in anna.post("/runs/crons/search", json={}).json()] == [ids["cron_id"]]
        assert SECRET in anna.get("/store/items", params={"namespace": "notes", "key": "k"}).text
        shared = [item["metadata"].get("created_by") for item in ann.post("/assistants/search", json={}).json()]
        assert shared.count("system") == 1


def test_a_server_run_prints_what_a_local_run_prints(servers: tuple[Cluster, ScriptedGroq]) -> None:
    deployment, groq = servers
    groq.play()
    ask = ("ask", "Q", "--turns", "2")
    (remote,) = run_concurrently((*ask, "--server", deployment.address))
    local_env = {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq.url, "LLAMABERRY_CHECKPOINTS": "none"}
    (local,) = run_concurrently(ask, **local_env)
    assert mask_figures(remote.stdout) == mask_figures(local.stdout)


def test_the_servers_packages_are_locked() -> None:
    command = [server_python(), "-m", "pip", "freeze", "--exclude-editable"]
    installed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert {line for line in installed if not line.startswith("llamaberry")} <= set(locked)


def test_every_shipped_setting_is_read_by_something() -> None:
    """A misspelt setting would leave its default in place."""
    code = "import json; from aegra_api import settings as s; from pydantic_settings import BaseSettings as B; "
    code += "groups = [c for c in vars(s).values() if isinstance(c, type) and issubclass(c, B)]; "
    code += "print(json.dumps([name for group in groups for name in group.model_fields]))"
    ran = subprocess.run([server_python(), "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(shipped_settings()) - set(json.loads(ran.stdout)) == {"GROQ_API_KEY", "LLAMABERRY_API_KEY"}
