"""Who may use the page: the key, the host, and what a browser may fetch."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from llamaberry.graph.errors import SetupError
from llamaberry.web.access import Access, listen
from testing.command import usage_error

KEY = "page-key-0123456789"


def client(host: str = "127.0.0.1") -> httpx.AsyncClient:
    """A browser with an own store of cookies, on the guarded app that answers "the page"."""
    transport = httpx.ASGITransport(Access(PlainTextResponse("the page")))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}:7860")


async def log_in(browser: httpx.AsyncClient, key: str) -> list[int]:
    """The status of the login, and then that of a page below."""
    login = await browser.post("/login", data={"key": key})
    return [login.status_code, (await browser.get("/runs/T")).status_code]


def get(path: str, host: str = "127.0.0.1", **headers: str) -> httpx.Response:
    return asyncio.run(client(host).get(path, headers=headers))


def test_with_a_key_everything_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_API_KEY", KEY)
    page = get("/")
    assert page.status_code == 401
    assert '<input type="password"' in page.text
    assert [get(path).status_code for path in ("/runs/T", "/gradio_api/queue/join", "/config")] == [401] * 3


def test_the_key_opens_the_page_for_its_browser_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_API_KEY", KEY)
    assert asyncio.run(log_in(client(), KEY)) == [303, 200]
    assert asyncio.run(log_in(client(), "another")) == [401, 401]
    assert get("/", cookie=f"llamaberry={KEY}").status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_API_KEY", KEY)
    cookie = asyncio.run(client().post("/login", data={"key": KEY})).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert KEY not in cookie


@pytest.mark.parametrize(
    ("host", "headers"),
    [("evil.example", {}), ("127.0.0.1", {"origin": "https://evil.example"})],
    ids=["another host name", "a page of another site"],
)
def test_without_a_key_only_this_machine_is_served(host: str, headers: dict[str, str]) -> None:
    assert get("/").text == "the page"
    assert get("/", host, **headers).status_code == 403


def test_a_browser_may_fetch_from_the_page_only() -> None:
    policy = get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/file=/x", "/gradio_api/proxy=http://x.hf.space"])
def test_routes_that_the_page_does_not_use_are_closed(path: str) -> None:
    assert get(path).status_code == 404


async def test_a_websocket_is_closed() -> None:
    messages = []

    async def send(message: Any) -> None:
        messages.append(message["type"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await Access(PlainTextResponse("the page"))({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert messages == ["websocket.close"]


def test_a_file_of_keys_is_no_key_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows the threads of all its callers."""
    monkeypatch.setenv("LLAMABERRY_KEYS_FILE", "keys")
    assert get("/", "evil.example").status_code == 403
    with pytest.raises(SetupError, match="without a key"):
        listen("0.0.0.0", 0)


def test_everyone_is_served_if_the_operator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_INSECURE", "1")
    assert get("/", "page.example").text == "the page"
    listen("0.0.0.0", 0).close()


def test_another_address_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match=r"would listen on 0\.0\.0\.0 without a key.*set LLAMABERRY_API_KEY"):
        listen("0.0.0.0", 0)
    monkeypatch.setenv("LLAMABERRY_API_KEY", KEY)
    listen("0.0.0.0", 0).close()


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SetupError, match=rf"127\.0\.0\.1:{port} cannot be used .*--port"):
            listen("127.0.0.1", port)


def test_without_gradio_the_command_names_the_extra() -> None:
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError:
        assert 'pip install "llamaberry[web]"' in usage_error("web", "--port", "0")
    else:
        pytest.skip("gradio is installed")
