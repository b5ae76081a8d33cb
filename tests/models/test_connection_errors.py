"""A failed connection states the address, the cause and the remedy, over real sockets."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

from llamaberry.graph.context import Context
from llamaberry.graph.errors import LlamaberryError, ModelError
from llamaberry.models.client import acall_model
from testing.sockets import RESET, certificate, closed_port, http, serve_bytes, serve_silence, tls_context

VARIABLES = {"groq": "GROQ_API_BASE", "openai": "OPENAI_BASE_URL"}
TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"


@pytest.fixture(params=["groq", "openai"])
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a provider with a key: each has an HTTP library of its own."""
    if request.param == "openai":
        pytest.importorskip("langchain_openai")
    monkeypatch.setenv(f"{request.param.upper()}_API_KEY", "sk-planted-key")
    return str(request.param)


async def failure(provider: str, url: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> LlamaberryError:
    """Call the provider at this address, and return the error: one line, without what is secret in the address."""
    for name, value in {VARIABLES[provider]: url, **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LlamaberryError) as caught:
        await acall_model(Context(model=f"{provider}:m"), [HumanMessage("Q")], None, time.time())
    message = str(caught.value)
    assert "\n" not in message
    assert "planted" not in message
    return caught.value


def retryable(error: LlamaberryError) -> bool:
    assert isinstance(error, ModelError)
    return error.retryable


async def test_a_closed_port_names_the_variable(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    error = await failure(provider, f"http://user:planted@127.0.0.1:{port}/v1?key=planted", monkeypatch)
    assert f"{provider}:m cannot be reached: 127.0.0.1:{port} refuses connections: " in str(error)
    assert VARIABLES[provider] in str(error)
    assert retryable(error)


async def test_an_untrusted_certificate_is_the_cause(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_bytes(b"", tls_context(certificate(tmp_path))) as server:
        error = await failure(provider, f"https://{server.address}", monkeypatch)
    assert f"the certificate of {server.address} is not trusted (self-signed certificate): " in str(error)
    assert "set SSL_CERT_FILE to a PEM file" in str(error)
    assert not retryable(error)


async def test_ssl_cert_file_makes_it_trusted(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path)
    with serve_bytes(http("401 Unauthorized"), tls_context(pem)) as server:
        error = await failure(provider, f"https://{server.address}", monkeypatch, SSL_CERT_FILE=str(pem))
    assert "answered 401" in str(error)


async def test_a_wrong_ssl_cert_file_is_named_as_such(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = str(certificate(tmp_path / "other"))
    with serve_bytes(b"", tls_context(certificate(tmp_path))) as server:
        error = await failure(provider, f"https://{server.address}", monkeypatch, SSL_CERT_FILE=other)
    assert f"SSL_CERT_FILE ({other}) lacks the authority" in str(error)


@pytest.mark.parametrize(
    ("host", "days", "message"),
    [
        ("127.0.0.1", -1, r"\(certificate has expired\): check this machine's clock"),
        ("127.0.0.2", 1, "check {variable}"),
    ],
)
async def test_another_fault_of_a_certificate_has_its_own_remedy(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, days: int, message: str
) -> None:
    pem = certificate(tmp_path, host, valid_days=days)
    with serve_bytes(b"", tls_context(pem)) as server:
        error = await failure(provider, f"https://{server.address}", monkeypatch, SSL_CERT_FILE=str(pem))
    assert f"the certificate of {server.address} is not trusted" in str(error)
    assert message.format(variable=VARIABLES[provider]).replace("\\", "") in str(error)


async def test_https_to_an_http_port(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_bytes(http("400 Bad Request")) as server:
        error = await failure(provider, f"https://{server.address}", monkeypatch)
    assert f"{server.address} does not speak https: write {VARIABLES[provider]} with http://" in str(error)
    assert not retryable(error)


@pytest.mark.parametrize(
    "reply",
    [TLS_ALERT, http("400 Bad Request", "<h1>The plain HTTP request was sent to HTTPS port</h1>")],
    ids=["TLS alert", "nginx"],
)
async def test_http_to_an_https_port(provider: str, monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    with serve_bytes(reply) as server:
        error = await failure(provider, f"http://{server.address}", monkeypatch)
    assert f"{server.address} seems to speak https: write {VARIABLES[provider]} with https://" in str(error)
    assert not retryable(error)


async def test_http_to_a_port_that_closes_names_both_causes(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL closes the connection without a word when it gets an HTTP request."""
    with serve_bytes(b"", tls_context(certificate(tmp_path))) as server:
        error = await failure(provider, f"http://{server.address}", monkeypatch)
    assert f"{provider}:m broke off: {server.address} " in str(error)
    assert f"write {VARIABLES[provider]} with https:// if it speaks https" in str(error)
    assert retryable(error)


async def test_a_reset_connection(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_bytes(RESET) as server:
        error = await failure(provider, f"http://{server.address}", monkeypatch)
    assert f"{server.address} reset the connection before the reply was complete" in str(error)
    assert retryable(error)


async def test_a_tls_handshake_that_is_cut(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_bytes(b"") as server:
        error = await failure(provider, f"https://{server.address}", monkeypatch)
    assert f"{server.address} fails the TLS handshake" in str(error)


async def test_a_dead_proxy_is_named_with_its_variable(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://user:planted@127.0.0.1:{closed_port()}"
    error = await failure(provider, "https://llm.invalid", monkeypatch, HTTPS_PROXY=proxy)
    port = proxy.rpartition(":")[2]
    assert f"the proxy 127.0.0.1:{port} (HTTPS_PROXY) refuses connections: " in str(error)
    assert retryable(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password(provider: str, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    variable = f"{scheme}_proxy"
    with serve_bytes(http("407 Proxy Authentication Required")) as server:
        url = f"{scheme}://llm.invalid"
        error = await failure(provider, url, monkeypatch, **{variable: server.address})
    assert f"the proxy {server.address} ({variable}) asks for a user name and a password" in str(error)
    assert f"set {variable}=http://user:password@host:port" in str(error)
    assert not retryable(error)


@pytest.mark.parametrize(("status", "again"), [("403 Forbidden", False), ("503 Service Unavailable", True)])
async def test_a_proxy_that_refuses(provider: str, monkeypatch: pytest.MonkeyPatch, status: str, again: bool) -> None:
    with serve_bytes(http(status)) as server:
        error = await failure(provider, "https://llm.invalid", monkeypatch, ALL_PROXY=f"http://{server.address}")
    message = f"the proxy {server.address} (ALL_PROXY) refuses a connection to llm.invalid:443 ({status}): "
    assert message in str(error)
    assert "list llm.invalid in NO_PROXY" in str(error)
    assert retryable(error) == again


async def test_https_to_an_http_proxy(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_bytes(http("400 Bad Request")) as server:
        error = await failure(provider, "https://llm.invalid", monkeypatch, HTTPS_PROXY=f"https://{server.address}")
    assert f"the proxy {server.address} (HTTPS_PROXY) does not speak https: write HTTPS_PROXY with http://" in str(
        error
    )


async def test_a_connection_times_out_before_the_call(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a TLS handshake that gets no reply."""
    with serve_silence() as port:
        monkeypatch.setenv(VARIABLES[provider], f"https://127.0.0.1:{port}")
        context = Context(model=f"{provider}:m", turn_timeout_s=1)
        with pytest.raises(ModelError, match=rf"127\.0\.0\.1:{port} did not complete the TLS handshake in time"):
            await acall_model(context, [HumanMessage("Q")], None, time.time())


@pytest.mark.parametrize("proxy", ["", "http://proxy.invalid:3128"])
def test_a_name_that_cannot_be_resolved(provider: str, proxy: str) -> None:
    """In another process: in this one, such a look-up fails the test."""
    code = (
        "import asyncio, sys, time\n"
        "from llamaberry.graph.context import Context\n"
        "from llamaberry.models.client import acall_model\n"
        "try: asyncio.run(acall_model(Context(model=sys.argv[1]), [('user', 'Q')], None, time.time()))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environment = os.environ | {VARIABLES[provider]: "https://llm.invalid/v1", "HTTPS_PROXY": proxy}
    command = [sys.executable, "-c", code, f"{provider}:m"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    host, variable = (
        ("proxy.invalid of the proxy (HTTPS_PROXY)", "HTTPS_PROXY")
        if proxy
        else (
            "llm.invalid",
            VARIABLES[provider],
        )
    )
    assert f"ModelError {provider}:m cannot be reached: the name {host} cannot be resolved: " in run.stdout
    assert f"check {variable}" in run.stdout
