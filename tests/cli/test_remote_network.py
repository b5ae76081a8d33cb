"""`--server`: a failed connection states the cause and the remedy, in one line."""

from pathlib import Path

import pytest

from testing.command import usage_error
from testing.sockets import certificate, closed_port, http, serve_bytes, tls_context


def message(server: str, **environment: str) -> str:
    """Return the one line that the command prints."""
    text = usage_error("ask", "Q", "--server", server, **environment)
    assert text.count("\n") == 1
    return text.strip()


def test_a_server_that_does_not_run() -> None:
    port = closed_port()
    expected = f"http://127.0.0.1:{port} cannot be reached: 127.0.0.1:{port} refuses connections: start the server"
    assert expected in message(f"http://127.0.0.1:{port}/path?token=planted")


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    with serve_bytes(b"", tls_context(certificate(tmp_path))) as server:
        text = message(f"https://{server.address}")
    assert f"the certificate of {server.address} is not trusted (self-signed certificate): " in text
    assert "SSL_CERT_FILE" in text


def test_ssl_cert_file_makes_a_certificate_trusted(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    with serve_bytes(http("404 Not Found"), tls_context(pem)) as server:
        assert "answered 404" in message(f"https://{server.address}", SSL_CERT_FILE=str(pem))


def test_https_to_an_http_port() -> None:
    with serve_bytes(http("400 Bad Request")) as server:
        text = message(f"https://{server.address}")
    assert f"{server.address} does not speak https: write --server with http://" in text


def test_a_name_that_cannot_be_resolved() -> None:
    assert "the name llm.invalid cannot be resolved: check --server" in message("http://llm.invalid:2024")


@pytest.mark.parametrize("address", ["127.0.0.1:2024", "ftp://127.0.0.1", "http://", "http://[::1", ""])
def test_a_malformed_address(address: str) -> None:
    assert message(address).startswith(f"llamaberry: --server is '{address}', which is no address: write it as http://")


def test_a_proxy_that_cannot_be_reached() -> None:
    proxy = f"http://127.0.0.1:{closed_port()}"
    text = message("http://llm.invalid:2024", http_proxy=proxy)
    assert f"the proxy {proxy.removeprefix('http://')} (http_proxy) refuses connections: " in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks5://proxy.invalid:x"), ("SSL_CERT_FILE", "/no/such.pem"), ("HTTPS_PROXY", "x:y")],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    assert message("https://llm.invalid", **{name: value}).startswith(f"llamaberry: {name} ")
