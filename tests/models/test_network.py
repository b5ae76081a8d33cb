"""Proxies and certificates: loopback needs none, and a wrong variable is named with its remedy, before any request."""

import asyncio
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.client import acall_model
from llamaberry.models.network import find_route, is_loopback
from testing.command import llamaberry, usage_error
from testing.scripted_groq import Scripted, ScriptedGroq, first
from testing.sockets import closed_port, http, serve_bytes

VARIABLES = {"groq": "GROQ_API_BASE", "openai": "OPENAI_BASE_URL"}


def call(provider: str = "groq") -> Any:
    context = Context(model=f"{provider}:m", turn_timeout_s=20)
    return asyncio.run(acall_model(context, [HumanMessage("Q")], None, time.time()))


@pytest.fixture(params=["groq", "openai"])
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a provider with a key and an address that no test reaches."""
    if request.param == "openai":
        pytest.importorskip("langchain_openai")
    monkeypatch.setenv(f"{request.param.upper()}_API_KEY", "sk-planted-key")
    monkeypatch.setenv(VARIABLES[request.param], "https://llm.invalid")
    return str(request.param)


def refusal(provider: str) -> str:
    """Return the message of a call that is refused before any request."""
    with pytest.raises(SetupError) as caught:
        call(provider)
    assert "\n" not in str(caught.value)
    assert "planted" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- this machine


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1", "0.0.0.0"]
)
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "128.0.0.1", "localhost.example.com", "10.0.0.1", "::2"])
def test_another_machine_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "no proxy at all:x"])
def test_loopback_needs_no_proxy(groq: ScriptedGroq, monkeypatch: pytest.MonkeyPatch, name: str, proxy: str) -> None:
    """Not even one that cannot be used."""
    monkeypatch.setenv(name, proxy)
    assert call().model == "groq:m"
    assert len(groq.requests) == 1


def test_an_openai_address_on_loopback_needs_no_proxy(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}
    body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("OPENAI_PROXY", f"http://127.0.0.1:{closed_port()}")
    with serve_bytes(http("200 OK\r\ncontent-type: application/json", body)) as server:
        monkeypatch.setenv(VARIABLES[provider], f"http://{server.address}")
        assert call(provider).message.text == "Yes"


def test_what_needs_no_certificate_reads_none(groq: ScriptedGroq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    assert call().model == "groq:m"


def test_a_server_on_loopback_is_reached_without_a_proxy() -> None:
    """The proxy would answer 407; the server's own reply is 404."""
    with serve_bytes(http("407 Proxy Authentication Required")) as proxy, serve_bytes(http("404 Not Found")) as server:
        address = f"http://{server.address}"
        message = usage_error("ask", "Q", "--server", address, http_proxy=f"http://{proxy.address}")
        assert (proxy.received, len(server.received)) == ([], 1)
    assert f"{address} answered 404" in message


# ----------------------------------------------------------------------------------------------------------- proxies


def test_https_goes_through_its_proxy(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_bytes(http("403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:planted@{proxy.address}")
        with pytest.raises(Exception, match=r"refuses a connection to llm\.invalid:443"):
            call(provider)
    assert proxy.received[0].startswith(b"CONNECT llm.invalid:443 ")
    assert b"Proxy-Authorization: Basic dXNlcjpwbGFudGVk" in proxy.received[0]


def test_openai_proxy_is_the_proxy_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    with serve_bytes(http("403 Forbidden")) as proxy:
        monkeypatch.setenv("OPENAI_PROXY", f"http://{proxy.address}")
        with pytest.raises(
            Exception, match=rf"{proxy.address} \(OPENAI_PROXY\) refuses a connection to api.openai.com"
        ):
            call("openai")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_socks_proxy_names_the_missing_package(provider: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if importlib.util.find_spec("socksio"):
        pytest.skip("socksio is installed")
    monkeypatch.setenv(name, "socks5h://user:planted@proxy.example:1080")
    message = refusal(provider)
    assert f"{name} names a SOCKS proxy (proxy.example:1080)" in message
    assert "pip install socksio" in message


@pytest.mark.parametrize(
    "proxy",
    [
        "http://proxy:port",
        "http://",
        "ftp://proxy:1",
        "http://u:planted@proxy:99999",
        "socks4://proxy:1",
        "http://[::1",
    ],
)
def test_a_malformed_proxy_is_named_with_its_variable(
    provider: str, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    message = refusal(provider)
    assert message.startswith(f"HTTPS_PROXY is '{proxy.replace('u:planted@', '')}', which is no address: ")
    assert "http://host:port" in message


@pytest.mark.parametrize("proxy", ["http://proxy:port", "socks5://proxy.example:1", "http://u:planted@[::1"])
def test_another_providers_package_gets_no_wrong_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """One whose address only its package knows."""
    if importlib.util.find_spec("socksio"):
        pytest.skip("socksio is installed")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert refusal("mistralai").startswith("HTTPS_PROXY ")


@pytest.mark.parametrize("no_proxy", ["[::1]", "::1,[fe80::1]:80, localhost", "[", "a b,,", "10.0.0.0/8"])
def test_any_no_proxy_can_be_read(provider: str, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    with serve_bytes(http("403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        with pytest.raises(Exception, match=r"refuses a connection to llm\.invalid:443"):
            call(provider)


@pytest.mark.parametrize(
    "no_proxy", ["*", "x, *", "llm.example", ".example", "example", "*.example", "LLM.example:443", "a,llm.example"]
)
def test_no_proxy_lists_what_needs_none(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert find_route("https://llm.example/v1").proxy == ""
    assert no_proxy.endswith("*") or find_route("https://llm.other/v1").proxy == "http://proxy:1"


def test_no_proxy_can_list_ipv6_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:1")
    for entry in ("fd00::7", "[fd00::7]", "[fd00::7]:8443"):
        monkeypatch.setenv("NO_PROXY", entry)
        assert find_route("https://[fd00::7]:8443").proxy == ""
        assert find_route("https://[fd00::8]:8443").proxy == "http://proxy:1"


# ------------------------------------------------------------------------------------------- certificates, addresses


def test_a_missing_ssl_cert_file_is_named(provider: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no.pem"))
    message = refusal(provider)
    assert message.startswith(
        f"SSL_CERT_FILE is '{tmp_path}/no.pem', which cannot be read (No such file or directory): "
    )
    assert "unset it" in message


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_an_ssl_cert_file_without_certificates(
    provider: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "odd.pem"
    path.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert refusal(provider).startswith(f"SSL_CERT_FILE is '{path}', which is not a file of certificates: ")


def test_a_missing_ssl_cert_dir_is_named(provider: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}:{tmp_path}/no")
    message = refusal(provider)
    assert message.startswith(f"SSL_CERT_DIR is '{tmp_path}:{tmp_path}/no', and '{tmp_path}/no' is no directory: ")


@pytest.mark.parametrize("address", ["", " ", " https://llm.invalid\n"])
def test_spaces_in_a_variable_do_not_count(provider: str, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Without an address, the provider's own counts."""
    monkeypatch.setenv(VARIABLES[provider], address)
    host = "llm.invalid" if address.strip() else {"groq": "api.groq.com", "openai": "api.openai.com"}[provider]
    with serve_bytes(http("403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f" {proxy.address} ")
        with pytest.raises(Exception, match=f"refuses a connection to {host}:443"):
            call(provider)


def test_a_corrected_variable_takes_effect_at_once(groq: ScriptedGroq, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook need not be restarted."""
    loop = asyncio.new_event_loop()
    ask = acall_model
    context, messages = Context(model="groq:m"), [HumanMessage("Q")]
    address = groq.url
    try:
        monkeypatch.setenv("GROQ_API_BASE", "https://llm.invalid")
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy:x")
        with pytest.raises(SetupError):
            loop.run_until_complete(ask(context, messages, None, time.time()))
        monkeypatch.setenv("GROQ_API_BASE", address)
        assert loop.run_until_complete(ask(context, messages, None, time.time())).model == "groq:m"
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


@pytest.mark.parametrize("address", ["llm.invalid", "htp://llm.invalid", "https://", "https://llm.invalid:port"])
def test_a_malformed_address_is_named(provider: str, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(VARIABLES[provider], address)
    assert refusal(provider).startswith(f"{VARIABLES[provider]} is '{address}', which is no address: ")


def test_a_wrong_variable_is_one_line_on_the_command_line(scripted: Scripted) -> None:
    scripted([first()])
    run = llamaberry("ask", "Q", GROQ_API_BASE="https://llm.invalid", SSL_CERT_FILE="/no/such.pem")
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr.startswith("llamaberry: SSL_CERT_FILE is '/no/such.pem', which cannot be read")
