"""With LLAMABERRY_API_KEY set, no route of the server answers a request without the key."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from langgraph_sdk import get_client

from testing.routes import list_routes
from testing.scripted_groq import ScriptedGroq
from testing.server import serve, server_environment

KEY = "open-sesame-0123456789"
HEADER = f"Bearer {KEY}".encode()
WRONG: dict[str, dict[str, bytes]] = {
    "none": {},
    "empty": {"authorization": b""},
    "no token": {"authorization": b"Bearer"},
    "wrong": {"authorization": b"Bearer sesame"},
    "its beginning": {"authorization": HEADER[:-1]},
    "more": {"authorization": HEADER + b"x"},
    "another case": {"authorization": b"Bearer " + KEY.upper().encode()},
    "another scheme": {"authorization": b"Basic " + KEY.encode()},
    "no scheme": {"authorization": KEY.encode()},
    "wrong x-api-key": {"x-api-key": b"sesame"},
    "no ASCII": {"authorization": b"Bearer \xff\xfe"},
    "as Studio": {"x-auth-scheme": b"langsmith", "x-api-key": b"lsv2_stranger"},
    "wrong beside right": {"authorization": b"Bearer sesame", "x-api-key": KEY.encode()},
}


class Locked(NamedTuple):
    """A server with a key, its scripted Groq and its log."""

    address: str
    groq: ScriptedGroq
    log: Path


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    home = tmp_path_factory.mktemp("locked")
    with ScriptedGroq(keep_alive=False) as groq:
        environment = server_environment(home, GROQ_API_KEY="gsk_test", GROQ_API_BASE=groq.url, LLAMABERRY_API_KEY=KEY)
        with serve(environment, home / "log", LOG_LEVEL="debug") as address:
            yield Locked(address, groq, home / "log")


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Every method and path of the server, with values for the parameters."""
    identifier = "00000000-0000-4000-8000-000000000000"
    listed = list_routes(tmp_path_factory.mktemp("routes"))
    return [(method, re.sub(r"\{[^}]*\}", identifier, path)) for method, path in listed]


def test_every_route_requires_the_key(locked: Locked, routes: list[tuple[str, str]]) -> None:
    """Without a key, with a wrong one, and with the header by which LangGraph lets Studio in."""
    paths = {path for _, path in routes}
    expected_paths = {
        "/",
        "/ok",
        "/info",
        "/docs",
        "/metrics",
        "/openapi.json",
        "/threads",
        "/runs",
        "/runs/stream",
        "/mcp",
    }
    expected_paths |= {"/assistants/search", "/store/items", "/v1/models", "/v1/chat/completions"}
    assert expected_paths <= paths
    assert any(path.startswith("/a2a/") for path in paths)
    assert len(routes) > 80
    other = [("GET", path) for path in ("/nowhere", "/noauth/docs", "//noauth/threads", "/v1/nothing", "/ui/x.js")]
    other += [("POST", "/docs"), ("GET", "/v1/chat/completions"), ("GET", "/ok/"), ("GET", "//ok"), ("GET", "/OK")]
    with httpx.Client(base_url=locked.address) as client:
        for method, path in routes + other:
            for wrong in ("none", "wrong", "as Studio"):
                # A websocket starts as a GET with an upgrade.
                upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
                upgrade |= {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
                headers: Any = WRONG[wrong] | (upgrade if method == "WEBSOCKET" else {})
                verb = "GET" if method == "WEBSOCKET" else method
                # The raw path: httpx would normalize it.
                url = httpx.URL(locked.address).copy_with(raw_path=path.encode())
                status = client.request(verb, url, headers=headers).status_code
                expected = {401, 403} if method == "WEBSOCKET" else {401}
                assert status in expected, (method, path, wrong)
    assert locked.groq.requests == []


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("path", ["/v1/models", "/assistants/search", "/docs"])
def test_a_wrong_key_is_refused(locked: Locked, path: str, wrong: str) -> None:
    method = "POST" if path == "/assistants/search" else "GET"
    reply = httpx.request(method, f"{locked.address}{path}", headers=WRONG[wrong])  # type: ignore[arg-type]
    assert reply.status_code == 401
    assert "Authorization: Bearer" in reply.text


@pytest.mark.parametrize(
    "right",
    [
        {"authorization": HEADER},
        {"authorization": HEADER.replace(b"Bearer", b"bearer")},
        {"x-api-key": KEY.encode()},
        {"authorization": HEADER, "x-api-key": b"lsv2_mine", "x-auth-scheme": b"langsmith"},
    ],
    ids=["bearer", "in lower case", "x-api-key", "beside a key for another"],
)
@pytest.mark.parametrize("path", ["/v1/models", "/docs", "/info", "/metrics", "/openapi.json", "/assistants/search"])
def test_the_key_is_accepted(locked: Locked, path: str, right: dict[str, Any]) -> None:
    method = "POST" if path == "/assistants/search" else "GET"
    body: Any = {} if method == "POST" else None
    assert httpx.request(method, f"{locked.address}{path}", headers=right, json=body).status_code == 200


def test_wrong_keys_do_not_fill_the_log(locked: Locked) -> None:
    before = locked.log.read_text(encoding="utf-8").count("\n")
    with httpx.Client(base_url=locked.address, headers={"x-api-key": "sesame"}) as client:
        for path in ("/threads/search", "/v1/models", "/nowhere") * 40:
            assert client.post(path).status_code == 401
    text = locked.log.read_text(encoding="utf-8")
    assert "requests without the right key" in text
    assert text.count("\n") - before < 10


def test_openais_client_gets_an_authentication_error(locked: Locked) -> None:
    with (
        openai.OpenAI(base_url=f"{locked.address}/v1", api_key="sk-wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    body: Any = caught.value.body
    assert (body["type"], body["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "a key of this server" in body["message"]


def test_a_cors_preflight_needs_no_key(locked: Locked) -> None:
    """A 401 has CORS headers, too, or the browser would report an unreachable server."""
    origin = {"origin": "https://smith.langchain.com"}
    preflight = origin | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for path in ("/v1/chat/completions", "/threads", "/info"):
        assert httpx.options(f"{locked.address}{path}", headers=preflight).status_code == 200
        response = httpx.get(f"{locked.address}{path}", headers=origin)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (401, "*")


@pytest.mark.parametrize("right", [{"authorization": HEADER}, {"x-api-key": KEY.encode()}], ids=["bearer", "x-api-key"])
def test_mcp_and_a2a_work_with_the_key(locked: Locked, right: dict[str, Any]) -> None:
    """For both, the server calls itself, and has to pass the key on."""
    headers = right | {"accept": "application/json, text/event-stream"}
    with httpx.Client(base_url=locked.address, headers=headers, timeout=30) as client:

        def call(path: str, method: str, **params: Any) -> str:
            reply = client.post(path, json={"jsonrpc": "2.0", "id": "1", "method": method, "params": params})
            return json.dumps(reply.json()["result"])

        (assistant,) = client.post("/assistants/search", json={}).json()
        assert '"name": "llamaberry"' in call("/mcp", "tools/list")
        assert "The answer is 42." in call("/mcp", "tools/call", name="llamaberry", arguments={"query": "Q"})
        message = {"role": "user", "parts": [{"kind": "text", "text": "Q"}], "messageId": "1"}
        assert "The answer is 42." in call(f"/a2a/{assistant['assistant_id']}", "message/send", message=message)


async def test_the_key_is_never_stored_sent_or_logged(locked: Locked) -> None:
    """Not even in a debug log."""
    headers: Any = {"authorization": HEADER}
    locked.groq.requests.clear()
    async with httpx.AsyncClient(base_url=locked.address, headers=headers, timeout=30) as client:
        thread = (await client.post("/threads", json={})).json()["thread_id"]
        body = {"assistant_id": "llamaberry", "input": {"query": "Q"}}
        responses = [await client.post(f"/threads/{thread}/runs/wait", json=body)]
        assert responses[0].json()["concise_answer"] == "42"
        question = {"model": "llamaberry", "messages": [{"role": "user", "content": "Q"}]}
        responses.append(await client.post("/v1/chat/completions", json=question))
        assert responses[1].json()["choices"][0]["message"]["content"] == "The answer is 42."
        paths = [f"/threads/{thread}{rest}" for rest in ("", "/state", "/history", "/runs")]
        responses += [await client.get(path) for path in [*paths, "/info", "/docs", "/openapi.json", "/nowhere"]]
        responses += [await client.get(path, headers={"authorization": HEADER + b"x"}) for path in ("/info", paths[0])]
    prompts = [request.raw + json.dumps(request.headers).encode() for request in locked.groq.requests]
    assert len(prompts) == 8
    everything = [reply.content + repr(reply.headers).encode() for reply in responses]
    everything += [locked.log.read_bytes(), *prompts]
    assert b"thread_id" in everything[2]
    for part in everything:
        assert b"sesame" not in part


async def test_langgraphs_client_sends_the_key_in_either_header() -> None:
    """`api_key=` is sent as x-api-key."""
    sent_headers: list[httpx.Headers] = []
    for more in ({"api_key": "sesame"}, {"headers": {"authorization": "Bearer sesame"}}):
        client = get_client(url="http://127.0.0.1:9", **more)  # type: ignore[arg-type]
        sent_headers.append(client.http.client.headers)
        await client.http.client.aclose()
    assert (sent_headers[0]["x-api-key"], sent_headers[1]["authorization"]) == ("sesame", "Bearer sesame")


@pytest.mark.parametrize("key", ["", " \n"])
def test_without_a_key_every_route_is_open(tmp_path: Path, key: str) -> None:
    """An empty line in .env counts as no key."""
    environment = server_environment(tmp_path, LLAMABERRY_API_KEY=key)
    with serve(environment) as address:
        for path in ("/ok", "/info", "/docs", "/v1/models"):
            assert httpx.get(f"{address}{path}").status_code == 200
        assert len(httpx.post(f"{address}/assistants/search", json={}).json()) == 1
        assert httpx.post(f"{address}/threads", json={}).status_code == 200
