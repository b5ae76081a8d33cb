"""Who may use a server without a key: programs on this machine, and no web page of another site.

A page can send requests to loopback, and can let its own domain point there (DNS rebinding). The browser names the page
in the header `origin`, and the domain in `host`.
"""

import ipaddress
import os
import sys
from urllib.parse import urlsplit

from llamaberry.graph.errors import SetupError

STUDIO_ORIGINS = "https://smith.langchain.com,https://eu.smith.langchain.com"
"""LangChain's Studio is a page that uses the server; LLAMABERRY_ALLOWED_ORIGINS replaces this list."""
REMEDY = "set LLAMABERRY_API_KEY, or LLAMABERRY_INSECURE=1 to serve everyone without a key"


def needs_loopback() -> bool:
    """Return whether the server has no key, and may not serve without one."""
    keys = ("LLAMABERRY_API_KEY", "LLAMABERRY_KEYS_FILE")
    return not any(os.environ.get(name, "").strip() for name in keys) and os.environ.get("LLAMABERRY_INSECURE") != "1"


def check_address(host: str | None = None, *, behind_proxy: bool = False) -> None:
    """Raise SetupError if others could reach the server without a key.

    They could if it listens off loopback (`host` defaults to the command line's), or if a proxy does, `behind_proxy`.
    """
    if behind_proxy and needs_loopback():
        raise SetupError(f"the server has no key, for everyone who can reach the proxy in front of it: {REMEDY}")
    host = host or _listening_host()
    if needs_loopback() and host and not is_loopback(host):
        raise SetupError(f"the server would listen on {host} without a key, for everyone who can reach it: {REMEDY}")


def _listening_host() -> str | None:
    """Return the host that `langgraph dev` or uvicorn listens on; None if it is not known."""
    if url := os.environ.get("LANGGRAPH_API_URL"):
        return urlsplit(url).hostname
    for option, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        if option == "--host":
            return value
        if option.startswith("--host="):
            return option.removeprefix("--host=")
    return None


def why_refused(server: str | None, headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return why a request to a server without a key is refused, in words; None if it is not.

    `server` is the address on which it arrived, None for a socket without one.
    """
    if server and not is_loopback(server):
        return f"this server has no key, and was reached at {server}: {REMEDY}"
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if not hosts or not all(is_loopback(_hostname(f"//{host}")) for host in hosts):
        return f"this server has no key, and answers only to localhost, not to {', '.join(hosts)[:100]!r}: {REMEDY}"
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    for origin in origins:
        if origin not in _allowed_origins() and not is_loopback(_hostname(origin)):
            return (
                f"this server has no key, and answers no page of {origin[:100]!r}: add it to LLAMABERRY_ALLOWED_ORIGINS"
            )
    return None


def _allowed_origins() -> list[str]:
    origins = os.environ.get("LLAMABERRY_ALLOWED_ORIGINS", STUDIO_ORIGINS)
    return [origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()]


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
