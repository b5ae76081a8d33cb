"""A server refuses what it does not allow on every route that starts a run, or that stores settings for one."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import ConnectionClosed

from testing.openai_api import QUESTION, Api
from testing.scripted_groq import Reply, first, synthesis

THREAD = "00000000-0000-4000-8000-000000000001"
RUN = {"assistant_id": "llamaberry", "input": {"query": "What is 6 x 7?"}}
CRON = {**RUN, "schedule": "0 0 1 1 *"}
MCP = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "llamaberry", "arguments": {"query": "What is 6 x 7?"}},
}
A2A = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "message/send",
    "params": {"message": {"role": "user", "messageId": "1", "parts": [{"kind": "text", "text": "What is 6 x 7?"}]}},
}
COMMAND = {"id": 1, "method": "run.start", "params": RUN}
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/runs", RUN),
    ("POST", "/runs/wait", RUN),
    ("POST", "/runs/stream", RUN),
    ("POST", "/runs/batch", [RUN]),
    ("POST", "/runs/crons", CRON),
    ("PATCH", "/runs/crons/{thread}", {}),
    ("POST", "/threads/{thread}/runs", RUN),
    ("POST", "/threads/{thread}/runs/wait", RUN),
    ("POST", "/threads/{thread}/runs/stream", RUN),
    ("POST", "/threads/{thread}/runs/crons", CRON),
    ("POST", "/threads/{thread}/commands", COMMAND),
    ("POST", "/assistants", {"graph_id": "llamaberry"}),
    ("PATCH", "/assistants/{assistant}", {}),
    ("POST", "/mcp", MCP),
    ("POST", "/a2a/{assistant}", A2A),
]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"max_turn": 1}, "did you mean max_turns?"),
    "model": ({"model": "openai:gpt-4o"}, "LLAMABERRY_MODELS"),
    "tokens": ({"max_tokens": 65_536}, "LLAMABERRY_MAX_TOKENS_PER_RUN"),
    "cost": ({"max_cost_usd": 1.01}, "LLAMABERRY_MAX_COST_USD"),
}


@pytest.fixture(scope="module")
def places(shared_api: Api) -> dict[str, str]:
    """The ids of a thread and an assistant."""
    httpx.post(f"{shared_api.address}/threads", json={"thread_id": THREAD, "if_exists": "do_nothing"})
    assistants: Any = httpx.post(f"{shared_api.address}/assistants/search", json={"graph_id": "llamaberry"}).json()
    return {"thread": THREAD, "assistant": assistants[0]["assistant_id"]}


@pytest.fixture(autouse=True)
def no_calls(api: Api) -> Iterator[None]:
    yield
    api.groq.wait()


def with_settings(body: Any, field: str, settings: Any) -> Any:
    """Return a body with settings, where its route takes them."""
    if isinstance(body, list):
        return [with_settings(item, field, settings) for item in body]
    if "params" in body:
        return {**body, "params": {**body["params"], field: settings}}
    return {**body, field: settings}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("route", ROUTES, ids=[f"{method} {path}" for method, path, _ in ROUTES])
def test_a_wrong_setting_is_refused(api: Api, places: dict[str, str], route: tuple[str, str, Any], wrong: str) -> None:
    method, path, body = route
    settings, remedy = WRONG[wrong]
    for field, value in (("context", settings), ("config", {"configurable": settings})):
        request = with_settings(body, field, value)
        reply = httpx.request(method, api.address + path.format(**places), json=request)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (400, "invalid_settings"), field
        assert next(iter(settings)) in error["message"]
        assert remedy in error["message"]
    assert api.groq.requests == []


@pytest.mark.parametrize("path", ["/runs/wait", "/threads/{thread}/runs/wait", "/mcp", "/a2a/{assistant}"])
def test_a_right_setting_has_its_effect(api: Api, places: dict[str, str], path: str) -> None:
    body = next(body for _, route, body in ROUTES if route == path)
    request = with_settings(body, "context", {"max_turns": 1})
    headers = {"accept": "application/json, text/event-stream"}
    reply = httpx.post(api.address + path.format(**places), json=request, headers=headers)
    assert (reply.status_code, "42" in reply.text) == (200, True), reply.text
    assert len(api.groq.requests) == 1


@pytest.mark.parametrize(
    "path", ["/runs/wait", "/threads/{thread}/runs/wait", "/mcp", "/a2a/{assistant}", "/v1/chat/completions"]
)
def test_a_run_that_costs_too_much_takes_no_further_turn(api: Api, places: dict[str, str], path: str) -> None:
    """Its first turn does, at the model's list price: the synthesis follows."""
    tokens = {"prompt_tokens": 100, "completion_tokens": 20_000_000, "total_tokens": 20_000_100}
    api.groq.play([Reply(first("41"), usage=tokens), synthesis("The answer is 41.")])
    chat = {"model": "llamaberry", "messages": QUESTION}
    body = next((body for _, route, body in ROUTES if route == path), chat)
    headers = {"accept": "application/json, text/event-stream"}
    reply = httpx.post(api.address + path.format(**places), json=body, headers=headers)
    assert (reply.status_code, "41" in reply.text) == (200, True), reply.text
    assert (len(api.groq.requests), len(api.groq.program_requests)) == (2, 0)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/runs/wait", "lower max_tokens to 17,857"),
        ("/threads/{thread}/runs/wait", "lower max_tokens to 17,857"),
        ("/mcp", "SetupError"),  # LangGraph keeps the message for its log
        ("/a2a/{assistant}", '"state":"failed"'),
    ],
)
def test_settings_that_are_wrong_only_together_fail(api: Api, places: dict[str, str], path: str, message: str) -> None:
    """Ten turns are the assistant's, and allowed; 30,000 tokens are the request's, and allowed for three turns."""
    settings = {"graph_id": "llamaberry", "name": f"ten{path.count('/')}{len(path)}", "context": {"max_turns": 10}}
    assistant = httpx.post(f"{api.address}/assistants", json=settings).json()
    body = next(body for _, route, body in ROUTES if route == path)
    request = with_settings(body, "context", {"max_tokens": 30_000})
    for place in (request, request.get("params", {})):
        place |= {"assistant_id": assistant["assistant_id"]} if "assistant_id" in place else {}
        place |= {"name": assistant["name"]} if "name" in place else {}
    headers = {"accept": "application/json, text/event-stream"}
    url = api.address + path.format(**places | {"assistant": assistant["assistant_id"]})
    reply = httpx.post(url, json=request, headers=headers)
    assert message in reply.text
    assert api.groq.requests == []


def test_a_websocket_is_closed_at_a_wrong_setting(api: Api, places: dict[str, str]) -> None:
    url = f"{api.address.replace('http', 'ws', 1)}/threads/{THREAD}/stream/events"
    wrong = with_settings(COMMAND, "config", {"configurable": {"max_turn": 1}})
    for message in (json.dumps(wrong), "[" * 20_001, " " * 4_000_001):
        with websockets.sync.client.connect(url) as connection:
            connection.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(timeout=120)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    assert api.groq.requests == []


@pytest.mark.parametrize("path", [path for _, path, _ in ROUTES] + ["/v1/chat/completions", "/v1/responses", "/x"])
def test_a_body_with_many_values_is_refused(api: Api, places: dict[str, str], path: str) -> None:
    reply = httpx.post(api.address + path.format(**places), content=b"[" * 20_001)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("model", "max_tokens"), [("llamaberry", 35_714), ("llamaberry-careful", 27_777), ("llamaberry-quick", 65_536)]
)
def test_the_openai_api_lowers_max_tokens_to_what_is_allowed(api: Api, model: str, max_tokens: int) -> None:
    body = {"model": model, "messages": QUESTION, "max_tokens": 1_000_000}
    assert httpx.post(f"{api.url}/chat/completions", json=body).status_code == 200
    assert {request.body["max_tokens"] for request in api.groq.requests} == {max_tokens}


@pytest.mark.parametrize("path", ["/runs/stream", "/runs/wait", "/threads/{thread}/runs/stream"])
def test_a_run_ends_with_its_client_if_that_asks_for_it(api: Api, places: dict[str, str], path: str) -> None:
    """LangGraph's default is to go on."""
    api.groq.play([Reply(first(), hang=True)])
    url, body = httpx.URL(api.address), json.dumps({**RUN, "on_disconnect": "cancel"})
    head = f"POST {path.format(**places)} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((url.host, url.port or 80)) as client:
        client.sendall(f"{head}{body}".encode())
        api.groq.wait(open_requests=1, timeout=120)
    api.groq.wait(open_requests=0, timeout=120)
    assert (len(api.groq.requests), api.groq.disconnects) == (1, 1)
