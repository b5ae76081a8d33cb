"""With a file of keys, each caller reaches its own threads, runs, assistants, crons and items of the store only."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from langgraph_sdk import get_client
from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from llamaberry.graph.errors import SetupError
from llamaberry.server.guard import Guard
from llamaberry.server.keys import OWNER, identify, read_keys
from testing.command import wait_until
from testing.keys import KEYS, ONE_CALL, QUESTION, SECRET, ask, attempts, bodies, create_all, key_line, write_keys
from testing.routes import list_routes
from testing.scripted_groq import Reply, ScriptedGroq
from testing.server import serve, server_environment

OPERATOR = "operator-key-0123456789"


class Servers(NamedTuple):
    """A server with keys for anna and ann, and one for its operator."""

    address: str
    groq: ScriptedGroq
    routes: list[tuple[str, str]]

    def client(self, name: str) -> httpx.Client:
        headers = {"x-api-key": KEYS.get(name, OPERATOR), "accept": "application/json, text/event-stream"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=120)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    home = tmp_path_factory.mktemp("keys")
    with ScriptedGroq(keep_alive=False) as groq:
        environment = server_environment(home, GROQ_API_KEY="gsk_test", GROQ_API_BASE=groq.url)
        environment |= {"LLAMABERRY_KEYS_FILE": write_keys(home / "keys"), "LLAMABERRY_API_KEY": OPERATOR}
        with serve(environment, home / "log") as address:
            yield Servers(address, groq, list_routes(home))


@pytest.fixture
def anna(servers: Servers) -> Iterator[httpx.Client]:
    servers.groq.play()
    with servers.client("anna") as client:
        yield client


@pytest.fixture
def ann(servers: Servers) -> Iterator[httpx.Client]:
    with servers.client("ann") as client:
        yield client


def read_all(client: httpx.Client, ids: dict[str, str]) -> list[Any]:
    """Return what a caller sees of its things."""
    paths = ["/threads/{thread_id}", "/threads/{thread_id}/state", "/threads/{thread_id}/history"]
    paths += ["/threads/{thread_id}/runs", "/assistants/{assistant_id}", "/runs/crons/{cron_id}"]
    paths += ["/store/items?namespace=notes&key=k"]
    replies = [client.get(path.format_map(ids)) for path in paths]
    assert all(reply.status_code == 200 and SECRET in reply.text for reply in replies[:2] + replies[4:])
    return [reply.json() for reply in replies]


def test_no_route_reaches_anothers_data(servers: Servers, anna: httpx.Client, ann: httpx.Client) -> None:
    """Every route, with another's ids in its path and its body. The same requests of their owner are the control."""
    ids = create_all(anna)
    before = read_all(anna, ids)
    for attempt in attempts(ann, servers.routes, ids):
        assert SECRET not in attempt.text, attempt
        assert attempt.was_refused, attempt
    assert read_all(anna, ids) == before
    readable = [route for route in servers.routes if route[0] == "GET"]
    assert sum(SECRET in attempt.text for attempt in attempts(anna, readable, ids)) >= 9


def test_a_callers_own_thread_leads_to_no_other(servers: Servers, anna: httpx.Client, ann: httpx.Client) -> None:
    """Not by a config or a checkpoint that names another's thread."""
    ids, own = create_all(anna), ask(ann, "Q")
    servers.groq.requests.clear()
    for body in bodies(ids)[1:5]:
        replies = [ann.post(f"/threads/{own}/runs/wait", json=body), ann.post("/runs/wait", json=body)]
        replies += [ann.post(f"/threads/{own}/{path}", json=body) for path in ("state", "history", "state/checkpoint")]
        replies.append(ann.get(f"/threads/{own}/state/{ids['checkpoint_id']}"))
        assert not any(SECRET in reply.text for reply in replies)
    assert len(servers.groq.requests) >= 4
    assert not any(SECRET.encode() in request.raw for request in servers.groq.requests)


def test_searches_and_counts_leave_out_anothers_data(anna: httpx.Client, ann: httpx.Client) -> None:
    ids = create_all(anna)
    for kind, field in (("threads", "thread_id"), ("assistants", "assistant_id"), ("runs/crons", "cron_id")):
        mine, yours = (client.post(f"/{kind}/search", json={"limit": 100}).json() for client in (anna, ann))
        assert ids[field] in [item[field] for item in mine]
        assert ids[field] not in [item[field] for item in yours]
        assert ann.post(f"/{kind}/count", json={}).json() == len(yours)
    assert ["anna", "notes"] in anna.post("/store/namespaces", json={}).json()["namespaces"]
    assert ["anna", "notes"] not in ann.post("/store/namespaces", json={}).json()["namespaces"]


def test_live_events_reach_their_owner_only(servers: Servers, anna: httpx.Client) -> None:
    thread = anna.post("/threads", json={}).json()["thread_id"]
    servers.groq.play(lambda _: Reply(hang=True))
    body = QUESTION | {"input": {"query": SECRET}, "stream_mode": ["values"], "stream_resumable": True}
    run = anna.post(f"/threads/{thread}/runs", json=body).json()["run_id"]
    wait_until(lambda: len(servers.groq.requests) > 0)
    address = f"{servers.address.replace('http', 'ws')}/threads/{thread}/stream/events"
    subscribe = {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values", "lifecycle"]}}
    texts: dict[str, str] = {}
    for name, key in KEYS.items():
        texts[name] = ""
        try:
            with connect(address, additional_headers={"x-api-key": key}) as socket:
                socket.send(json.dumps(subscribe))
                while SECRET not in texts[name]:
                    texts[name] += str(socket.recv(timeout=120))
        except ConnectionClosed:  # LangGraph ends the stream of another's thread
            texts[name] += "closed"
    assert (SECRET in texts["anna"], SECRET in texts["ann"], texts["ann"][-6:]) == (True, False, "closed")
    assert anna.post(f"/threads/{thread}/runs/{run}/cancel").status_code < 300


def test_the_owner_is_not_up_to_the_caller(anna: httpx.Client, ann: httpx.Client, servers: Servers) -> None:
    """Otherwise one could put a thread into another's list, or an assistant into everyone's."""
    forged = {"owner": "anna"}
    thread = ann.post("/threads", json={"metadata": forged}).json()["thread_id"]
    ann.patch(f"/threads/{thread}", json={"metadata": forged})
    assistant = ann.post("/assistants", json={"graph_id": "llamaberry", "metadata": forged}).json()["assistant_id"]
    ann.patch(f"/assistants/{assistant}", json={"metadata": forged})
    run = QUESTION | {"metadata": forged, "config": {"metadata": forged}, "on_completion": "keep", "context": ONE_CALL}
    ann.post("/runs/wait", json=run)
    with servers.client("operator") as operator:
        threads = operator.post("/threads/search", json={"limit": 100}).json()
        owners = [thread["metadata"]["owner"] for thread in threads[:2]]
        assert owners == ["ann", "ann"]
        assert operator.get(f"/assistants/{assistant}").json()["metadata"]["owner"] == "ann"
    system = {"metadata": {"created_by": "system"}}
    for reply in (
        ann.post("/assistants", json={"graph_id": "llamaberry"} | system),
        ann.patch(f"/assistants/{assistant}", json=system),
    ):
        assert (reply.status_code, "leave it out" in reply.text) == (403, True)


def test_the_servers_assistant_is_for_all(anna: httpx.Client, ann: httpx.Client) -> None:
    system = {"metadata": {"created_by": "system"}}
    (mine,), (yours,) = (client.post("/assistants/search", json=system).json() for client in (anna, ann))
    assert mine["assistant_id"] == yours["assistant_id"]
    path = f"/assistants/{mine['assistant_id']}"
    assert ann.get(f"{path}/graph").status_code == 200
    assert ann.patch(path, json={"name": "mine"}).status_code == 404
    assert ann.delete(path).status_code == 404


def test_mcp_and_a2a_act_for_their_caller(servers: Servers, anna: httpx.Client, ann: httpx.Client) -> None:
    """LangGraph sends requests to itself for them, without a key: they count as the caller's."""
    ids = create_all(anna)
    (system,) = ann.post("/assistants/search", json={"metadata": {"created_by": "system"}}).json()

    def call(client: httpx.Client, path: str, method: str, **params: Any) -> str:
        return client.post(path, json={"jsonrpc": "2.0", "id": "1", "method": method, "params": params}).text

    a2a, context = f"/a2a/{system['assistant_id']}", {"contextId": ids["thread_id"]}
    message = {"role": "user", "parts": [{"kind": "text", "text": "Q"}], "messageId": "1"}
    assert "The answer is 42." in call(ann, "/mcp", "tools/call", name="llamaberry", arguments={"query": "Q"})
    assert (SECRET in call(anna, "/mcp", "tools/list"), SECRET in call(ann, "/mcp", "tools/list")) == (True, False)
    assert SECRET in call(anna, a2a, "tasks/get", id=ids["run_id"], **context)
    for method in ("tasks/get", "tasks/cancel", "tasks/resubscribe", "ListTasks", "tasks/list"):
        assert SECRET not in call(ann, a2a, method, id=ids["run_id"], **context)
    for method in ("message/send", "message/stream"):
        assert '"error"' in call(ann, a2a, method, message=message | context)
    own = json.loads(call(ann, a2a, "message/send", message=message))["result"]["contextId"]
    assert ann.get(f"/threads/{own}").json()["metadata"]["owner"] == "ann"
    assert anna.get(f"/threads/{own}").status_code == 404


def test_the_operators_key_sees_all(servers: Servers, anna: httpx.Client) -> None:
    thread = ask(anna, SECRET)
    with servers.client("operator") as operator:
        assert SECRET in operator.get(f"/threads/{thread}/state").text


def test_an_item_is_found_by_the_namespace_it_shows(anna: httpx.Client) -> None:
    anna.put("/store/items", json={"namespace": ["n"], "key": "k", "value": {"x": 1}})
    shown = anna.get("/store/items", params={"namespace": "n", "key": "k"}).json()["namespace"]
    assert shown == ["anna", "n"]
    assert anna.get("/store/items", params={"namespace": "anna.n", "key": "k"}).json()["value"] == {"x": 1}


async def test_langgraphs_client_works_with_a_key(servers: Servers) -> None:
    servers.groq.play()
    async with get_client(url=servers.address, api_key=KEYS["anna"]) as client:
        thread = await client.threads.create()
        chunks = [chunk async for chunk in client.runs.stream(thread["thread_id"], "llamaberry", input={"query": "Q"})]
        assert chunks[-1].data["concise_answer"] == "42"
        assert len(await client.threads.get_history(thread["thread_id"])) > 2


@pytest.mark.parametrize("path", ["/internal/truncate", "/internal/debug/thread/x", "/deploy", "/deploy/x/stream"])
@pytest.mark.parametrize("name", ["ann", "operator"])
def test_routes_for_the_whole_server_are_closed(servers: Servers, path: str, name: str) -> None:
    with servers.client(name) as client:
        for reply in (client.get(path), client.post(path, json={})):
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")


async def call_guard(key: str, guard: Guard) -> httpx.Response:
    """Send a request to a server that consists of the Guard only: one that passes it gets 404."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://server") as client:
        return await client.get("/", headers={"authorization": f"Bearer {key}"})


async def test_a_changed_file_counts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A key is added, removed, and the file is damaged; then nobody of the file enters, and the log says why once."""
    path, guard = tmp_path / "keys", Guard(Starlette())
    monkeypatch.setenv("LLAMABERRY_KEYS_FILE", write_keys(path))
    assert ((await call_guard(KEYS["ann"], guard)).status_code, (await call_guard("new", guard)).status_code) == (
        404,
        401,
    )
    path.write_text(key_line("new", "new"))
    assert ((await call_guard(KEYS["ann"], guard)).status_code, (await call_guard("new", guard)).status_code) == (
        401,
        404,
    )
    caplog.clear()
    path.write_text("new sesame\n")
    for _ in range(3):
        reply = await call_guard("new", guard)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "not_set_up")
    (record,) = caplog.records
    assert (f"{path}, line 1" in record.message, "sesame" in record.message) == (True, False)
    path.unlink()
    assert (await call_guard("new", guard)).status_code == 503
    monkeypatch.setenv("LLAMABERRY_API_KEY", OPERATOR)
    assert (await call_guard(OPERATOR, guard)).status_code == 404


HASH = "a" * 64


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no key"),
        ("# a comment\n\n", "has no key"),
        ("anna\n", "line 1, is not a name"),
        (f"anna {HASH}\nben plain-key\n", "line 2, is not a name"),
        (f"anna {HASH}0\n", "line 1, is not a name"),
        (f"anna.b {HASH}\n", "line 1, is not a name"),
        (f"owner {HASH}\n", "line 1, has the name 'owner'"),
        (f"anna {HASH}\nanna {'b' * 64}\n", "line 2, repeats a name or a key"),
        (f"anna {HASH}\nben {HASH.upper()}\n", "line 2, repeats a name or a key"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_an_error_in_the_file_is_named(tmp_path: Path, text: str | bytes, problem: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SetupError, match=problem):
        read_keys(str(path))


async def test_a_missing_file_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_KEYS_FILE", str(tmp_path / "none"))
    assert await identify({}) is None
    with pytest.raises(SetupError, match="cannot be read"):
        await identify({b"x-api-key": b"any"})


async def test_a_key_names_its_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_KEYS_FILE", write_keys(tmp_path / "keys"))
    names = [await identify({b"authorization": f"Bearer {key}".encode()}) for key in (*KEYS.values(), "", "x")]
    assert names == ["anna", "ann", None, None]
    monkeypatch.setenv("LLAMABERRY_API_KEY", OPERATOR)
    assert await identify({b"x-api-key": OPERATOR.encode()}) == OWNER
    assert await identify({b"x-api-key": KEYS["ann"].encode()}) == "ann"


async def test_the_documented_command_adds_a_key(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    command = re.findall(r"^key=.*\n.*keys$", page, re.MULTILINE)[0]
    shell = await asyncio.create_subprocess_shell(
        command, cwd=tmp_path, env=os.environ | {"name": "anna"}, stdout=asyncio.subprocess.PIPE
    )
    key = (await shell.communicate())[0].strip()
    assert len(key) == 64
    assert list(read_keys(str(tmp_path / "keys")).values()) == ["anna"]
