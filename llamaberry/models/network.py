"""How a server is reached: directly or through a proxy, and with which certificates.

HTTP libraries read the proxies' variables on their own, also for addresses of this machine, and report a wrong one
without its name. Here they are read once, checked, and passed to the libraries.
"""

import importlib.util
import ipaddress
import os
import ssl
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from llamaberry.graph.errors import SetupError

CONNECT_TIMEOUT_S = 10.0
"""The longest wait for a connection; a short timeout of the call leaves half of its time to it."""
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

_ANY_URL = "https://example.com"  # of a provider whose address only its package knows
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


class Route(NamedTuple):
    """How a server is reached. `variable` and `proxy_variable` are what sets the addresses, "" if nothing does."""

    url: str
    variable: str = ""
    proxy: str = ""
    proxy_variable: str = ""
    certificates: tuple[tuple[str, str], ...] = ()
    """The variables of certificates that are set, so that a changed one takes effect at once."""

    @property
    def host(self) -> str:
        """The server's name or IP address."""
        return _split(self.url).hostname or ""

    @property
    def address(self) -> str:
        """The server's host:port."""
        return address_of(self.url)


def find_route(url: str, variable: str = "") -> Route:
    """Return how `url` is reached, according to the environment. Nothing is checked."""
    certificates = tuple((name, os.environ[name]) for name in CERTIFICATE_VARIABLES if os.environ.get(name))
    return Route(url, variable, *_find_proxy(_split(url)), certificates)


def check_route(route: Route) -> None:
    """Check the addresses, and that what a proxy needs is installed.

    Raises:
        SetupError: one is not an address, or a package is missing.
    """
    _check_address(route.url, route.variable, ("http", "https"))
    if route.proxy:
        scheme = _check_address(route.proxy, route.proxy_variable, _PROXY_SCHEMES)
        if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
            raise SetupError(
                f"{route.proxy_variable} names a SOCKS proxy ({address_of(route.proxy)}), which needs a package: run "
                f"`pip install socksio`, or set {route.proxy_variable} to an HTTP proxy, http://host:port"
            )


def check_certificates() -> ssl.SSLContext | None:
    """Return a context with the certificates that the environment names, None if it names none.

    Raises:
        SetupError: a variable names no certificates.
    """
    remedy = "or unset it to trust the usual authorities"
    if file := os.environ.get("SSL_CERT_FILE"):
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as error:
            cause = (
                "is not a file of certificates"
                if isinstance(error, ssl.SSLError)
                else f"cannot be read ({error.strerror})"
            )
            raise SetupError(f"SSL_CERT_FILE is {file!r}, which {cause}: set it to a PEM file, {remedy}") from error
    if folders := os.environ.get("SSL_CERT_DIR"):
        for folder in folders.split(os.pathsep):
            if not Path(folder).is_dir():
                raise SetupError(
                    f"SSL_CERT_DIR is {folders!r}, and {folder!r} is no directory: set it to a directory of "
                    f"certificates that `openssl rehash` has prepared, {remedy}"
                )
        return ssl.create_default_context(capath=folders)
    return None


def client_options(route: Route) -> dict[str, Any]:
    """Return the options of an HTTP client (of httpx, or of a library like it) for this route.

    Raises:
        SetupError: a variable of the environment is wrong.
    """
    check_route(route)
    # What is sent without TLS needs no certificates, so a wrong variable must not stop it.
    secure = _split(route.url).scheme == "https" or route.proxy.startswith("https")
    context = check_certificates() if secure else None
    return {"trust_env": False, "proxy": route.proxy or None, "verify": context or True}


def check_environment(route: Route) -> None:
    """Check what a provider's own package will read from the environment.

    Raises:
        SetupError: a variable is wrong.
    """
    if is_loopback(route.host):
        return
    client_options(route if route.url else find_route(_ANY_URL))
    if brackets := [entry for entry in getproxies().get("no", "").split(",") if entry.strip().startswith("[")]:
        raise SetupError(
            f"NO_PROXY has {brackets[0].strip()}, which this provider's package cannot read: leave out [ and ]"
        )


def timeouts(timeout_s: float | None) -> httpx.Timeout:
    """Return the timeouts of an HTTP client: a connection that fails must fail before the call does."""
    return httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, (timeout_s or 60) / 2))


def address_of(url: str) -> str:
    """Return the host:port of a URL, without user name, password, path and query."""
    parts = _split(url)
    try:
        port = parts.port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(parts.scheme, 80)
    except ValueError:  # the port is no number
        return parts.netloc.rpartition("@")[2]
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: localhost, 127.0.0.0/8, ::1; also 0.0.0.0, which servers print."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _find_proxy(url: SplitResult) -> tuple[str, str]:
    """Return the proxy for a URL and the variable that sets it, ("", "") without one.

    The standard library reads the variables, and the settings of macOS and Windows. NO_PROXY may have `*` among other
    entries, `*.example.com`, and IPv6 addresses in brackets.
    """
    host = url.hostname or ""
    if not host or is_loopback(host):
        return "", ""
    proxies = getproxies()
    kind = next((kind for kind in (url.scheme, "all") if proxies.get(kind)), None)
    exceptions = [entry.strip().lower() for entry in proxies.get("no", "").split(",")]
    forms = {"*", host, f"[{host}]", address_of(url.geturl())}
    parents = tuple(f".{entry.removeprefix('*.')}" for entry in exceptions if entry.startswith("*."))
    if kind is None or forms.intersection(exceptions) or host.endswith(parents) or proxy_bypass(host):
        return "", ""
    names = [name for name in os.environ if name.lower() == f"{kind}_proxy" and os.environ[name] == proxies[kind]]
    proxy = proxies[kind].strip()
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    return proxy, names[0] if names else f"{kind.upper()}_PROXY"


def _split(url: str) -> SplitResult:
    """Split a URL; one that cannot be split has no parts."""
    try:
        return urlsplit(url.strip())
    except ValueError:  # an unmatched bracket
        return urlsplit("")


def _check_address(url: str, variable: str, schemes: tuple[str, ...]) -> str:
    """Return the scheme of an address that a variable sets. Raises SetupError if it has another one, or no host."""
    parts = _split(url)
    try:
        correct = parts.scheme in schemes and parts.hostname and parts.port != 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        correct = False
    if not correct:
        scheme, _, rest = url.rpartition("://")
        shown = f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]
        *most, last = (f"{scheme}://" for scheme in schemes)
        raise SetupError(
            f"{variable or 'the address'} is {shown.partition('?')[0]!r}, which is no address: write it as "
            f"{schemes[0]}://host:port ({', '.join(most)} or {last})"
        )
    return parts.scheme
