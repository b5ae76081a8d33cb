"""A server without a key serves programs on this machine, and no page of another site; any server bounds a request."""

import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from llamaberry.graph.errors import SetupError
from llamaberry.server.origin import check_address
from testing.command import LIMIT_S
from testing.openai_api import QUESTION, Api
from testing.server import CLI_SETTINGS, COMMAND, ROOT, serve, server_environment

BODY = {"model": "llamaberry-quick", "messages": QUESTION}
ROUTES = [
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("POST", "/threads/search"),
    ("POST", "/runs/wait"),
    ("GET", "/ok"),
    ("GET", "/docs"),
    ("GET", "/nowhere"),
]
ASK = """async url => {
    const body = JSON.stringify({"model": "llamaberry-quick", "messages": [{"role": "user", "content": "Q"}]});
    const results = [];
    for (const type of ["text/plain", "application/json"]) {
        try {
            const reply = await fetch(url, {method: "POST", body: body, headers: {"content-type": type}});
            results.push(`${reply.status} ${await reply.text()}`);
        } catch (error) {
            results.push(error.name);
        }
    }
    return results;
}"""


@pytest.fixture(scope="module")
def page_server() -> Iterator[int]:
    """A web server for pages; its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://127.0.0.1.evil.example:2024"},
        {"origin": "https://smith.langchain.com.evil.example"},
        {"origin": "https://evil.example", "content-type": "text/plain"},
        {"origin": "https://evil.example", "content-type": "application/x-www-form-urlencoded"},
        {"host": "evil.example"},
        {"host": "evil.example:2024", "origin": "http://evil.example:2024"},
        {"host": "localhost.evil.example"},
        {"host": "192.168.1.7:2024"},
        {"host": "[::ffff:10.0.0.1]:2024"},
        {"host": "127.0.0.1@evil.example"},
        {"host": ""},
    ],
)
def test_another_sites_request_is_refused_on_every_route(api: Api, headers: dict[str, str]) -> None:
    for method, path in ROUTES:
        reply = httpx.request(method, f"{api.address}{path}", headers=headers, content=b"{}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden"), (method, path)
        assert "access-control-allow-origin" not in reply.headers
    assert api.groq.requests == []


def test_another_sites_preflight_is_refused(api: Api) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    reply = httpx.options(f"{api.url}/chat/completions", headers=headers)
    assert (reply.status_code, "access-control-allow-origin" in reply.headers) == (403, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:5173"},
        {"origin": "http://127.0.0.1:8080", "host": "localhost:2024"},
        {"origin": "http://[::1]:3000", "host": "[::1]:2024"},
        {"origin": "https://smith.langchain.com"},
        {"host": "app.localhost"},
        {},
    ],
)
def test_this_machine_and_studio_are_served(api: Api, headers: dict[str, str]) -> None:
    assert httpx.post(f"{api.url}/chat/completions", json=BODY, headers=headers).status_code == 200
    preflight = {"origin": "http://localhost", "access-control-request-method": "POST"} | headers
    assert httpx.options(f"{api.url}/chat/completions", headers=preflight).status_code == 200


@pytest.mark.parametrize(
    ("allowed", "statuses"),
    [
        (
            "https://a.example, https://b.example/",
            {"https://a.example": 200, "https://b.example": 200, "https://smith.langchain.com": 403},
        ),
        ("", {"https://smith.langchain.com": 403, "http://localhost:5173": 200}),
    ],
    ids=["two", "none"],
)
def test_the_list_of_origins_replaces_studio(tmp_path: Path, allowed: str, statuses: dict[str, int]) -> None:
    with serve(server_environment(tmp_path, LLAMABERRY_ALLOWED_ORIGINS=allowed)) as address:
        replies = {origin: httpx.get(f"{address}/v1/models", headers={"origin": origin}) for origin in statuses}
        assert {origin: reply.status_code for origin, reply in replies.items()} == statuses


def test_a_websocket_of_another_site_is_refused(api: Api) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    upgrade |= {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==", "origin": "https://evil.example"}
    assert httpx.get(f"{api.address}/threads/x/stream", headers=upgrade).status_code == 403


def start_on(host: str, home: Path, **environment: str) -> str:
    """Return what `langgraph dev` prints when it does not start on this host."""
    for name in ("langgraph.json", "graph", "llamaberry"):
        Path(home, name).symlink_to(ROOT / name)
    env = server_environment(home) | CLI_SETTINGS | environment
    command = [*COMMAND, "--host", host, "--port", "0"]
    ran = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ran.returncode
    return ran.stdout + ran.stderr


def test_a_server_off_loopback_needs_a_key(tmp_path: Path) -> None:
    output = start_on("0.0.0.0", tmp_path, LLAMABERRY_API_KEY=" ")
    assert "would listen on 0.0.0.0 without a key" in output
    assert "LLAMABERRY_API_KEY, or LLAMABERRY_INSECURE=1" in output


def test_a_server_with_a_wrong_file_of_keys_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("anna sesame\n", encoding="utf-8")
    output = start_on("127.0.0.1", tmp_path, LLAMABERRY_KEYS_FILE=str(path))
    assert (f"{path}, line 1, is not a name" in output, "sesame" in output) == (True, False)


def test_a_server_behind_a_proxy_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match="set LLAMABERRY_API_KEY"):
        check_address("127.0.0.1", behind_proxy=True)
    monkeypatch.setenv("LLAMABERRY_KEYS_FILE", "keys")
    check_address("127.0.0.1", behind_proxy=True)


@pytest.mark.browser
def test_a_page_of_another_site_reads_nothing_in_a_browser(api: Api, browser: Browser, page_server: int) -> None:
    """Neither across origins nor when its own domain leads to loopback (DNS rebinding)."""
    port = httpx.URL(api.address).port
    page = browser.new_page()
    page.goto(f"http://evil.example:{page_server}/")
    assert page.evaluate(ASK, f"{api.url}/chat/completions") == ["TypeError", "TypeError"]
    page.goto(f"http://evil.example:{port}/v1/models")
    rebound: list[str] = page.evaluate(ASK, f"http://evil.example:{port}/v1/chat/completions")
    assert [result[:3] for result in rebound] == ["403", "403"]
    page.goto(f"http://localhost:{page_server}/")
    allowed: list[str] = page.evaluate(ASK, f"{api.url}/chat/completions")
    assert [result[:3] for result in allowed] == ["200", "200"]
    assert len(api.groq.requests) == 2


def post_slowly(address: str, head: str) -> bytes:
    """Send the beginning of a request; return what the server answers before it closes the connection."""
    url = httpx.URL(address)
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/threads", "/runs/wait"])
def test_a_body_over_four_megabytes_is_refused(api: Api, path: str) -> None:
    """Also one whose length is not known at its beginning."""
    chunks = (b" " * 100_000 for _ in range(41))
    for content in (b" " * 4_000_001, chunks):
        reply = httpx.post(f"{api.address}{path}", content=content)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")
    assert httpx.post(f"{api.address}{path}", content=b" " * 4_000_000).status_code < 500


def test_a_body_of_a_known_length_is_not_read(api: Api) -> None:
    head = "POST /v1/chat/completions HTTP/1.1\nhost: localhost\nconnection: close\ncontent-length: 300000000\n\n"
    assert post_slowly(api.address, head).startswith(b"HTTP/1.1 413 ")


def test_the_operator_sets_the_limit_of_a_body(tmp_path: Path) -> None:
    with serve(server_environment(tmp_path, LLAMABERRY_MAX_BODY_BYTES="1000")) as address:
        reply = httpx.post(f"{address}/v1/chat/completions", content=b" " * 1001)
        assert (reply.status_code, "1,000 bytes" in reply.text) == (413, True)


@pytest.mark.slow
def test_a_body_that_does_not_end_times_out(api: Api) -> None:
    head = "POST /threads HTTP/1.1\nhost: localhost\nconnection: close\ncontent-length: 9\n\n{"
    assert post_slowly(api.address, head).startswith(b"HTTP/1.1 408 ")
