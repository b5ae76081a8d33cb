"""Why a connection failed: the cause and the remedy in one line, from the exceptions' types and error numbers."""

import errno
import re
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from llamaberry.models.network import Route, address_of, find_route

_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}
"""OpenSSL's reasons when the bytes that it received are not TLS."""
_TLS_ALERT = ("illegal request line", "\\x15\\x03")  # h11's messages
_PLAIN_HTTP = re.compile(r"plain HTTP|HTTP request to an HTTPS", re.IGNORECASE)  # nginx, Apache; Go
_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64  # OpenSSL's verify codes: X509_V_ERR_…
_SYSTEM = {
    errno.ENETUNREACH: "no network leads to {address}: check this machine's network",
    errno.ENETDOWN: "no network leads to {address}: check this machine's network",
    errno.EHOSTUNREACH: "no route leads to {address}: check this machine's network, and {setting}",
    errno.EADDRNOTAVAIL: "no connection to {address} can be made from this machine: check {setting}",
    errno.EACCES: "this machine does not allow a connection to {address}: check its firewall or sandbox",
    errno.EPERM: "this machine does not allow a connection to {address}: check its firewall or sandbox",
    errno.EMFILE: "this process has too many open files: raise the limit (`ulimit -n`)",
    errno.ENFILE: "this machine has too many open files",
}


class Failure(NamedTuple):
    """Why a connection failed, with the remedy, and whether a retry may help."""

    message: str
    retryable: bool
    connected: bool = False
    """Whether the connection was made, and broke off."""


def explain(error: BaseException, route: Route) -> Failure | None:
    """Return why the connection failed from which an error comes; None if the error has another cause.

    `route` is how the server was to be reached; an error of a provider without a known address has its own.
    """
    errors = list(_causes(error))
    if _first(errors, "TransportError") is None:
        return None
    if url := next(filter(None, map(_url_of, errors)), ""):
        same = not route.url or address_of(route.url) == address_of(url)
        route = (route if route.url and same else find_route(url, route.variable))._replace(url=url)
    return _explain_proxy(errors, route) or _explain_tls(errors, route) or _explain_connect(errors, route)


def is_read_timeout(error: BaseException) -> bool:
    """Return whether an error is an HTTP library's timeout after the connection was made."""
    errors = list(_causes(error))
    return _first(errors, "TimeoutException") is not None and _first(errors, "ConnectTimeout") is None


def describe_status(status: int, text: str, route: Route) -> str | None:
    """Return what a status means that does not come from the provider itself, with the remedy; else None."""
    if status == 407 and route.proxy:  # of a proxy for http://; for https:// it is an error of the connection
        return _proxy_login(route)
    if status == 400 and urlsplit(route.url).scheme == "http" and _PLAIN_HTTP.search(text):
        return _speaks_https(route)
    return None


def _explain_proxy(errors: list[BaseException], route: Route) -> Failure | None:
    """Explain what a proxy refuses, or speaks."""
    if not route.proxy:
        return None
    proxy = f"the proxy {address_of(route.proxy)} ({route.proxy_variable})"
    host = urlsplit(route.url).hostname
    if refusal := _first(errors, "ProxyError"):
        text = " ".join(str(refusal).split())
        if text.startswith("407"):
            return Failure(_proxy_login(route), retryable=False)
        remedy = f"check {route.proxy_variable}, or list {host} in NO_PROXY to reach it without a proxy"
        message = f"{proxy} refuses a connection to {route.address} ({text}): {remedy}"
        return Failure(message, retryable=text.startswith(("500", "502", "503", "504")))
    if route.proxy.startswith("https") and getattr(_first(errors, "SSLError"), "reason", None) in _NOT_TLS:
        return Failure(f"{proxy} does not speak https: write {route.proxy_variable} with http://", retryable=False)
    return None


def _proxy_login(route: Route) -> str:
    return (
        f"the proxy {address_of(route.proxy)} ({route.proxy_variable}) asks for a user name and a password: set "
        f"{route.proxy_variable}=http://user:password@host:port"
    )


def _explain_tls(errors: list[BaseException], route: Route) -> Failure | None:
    """Explain a certificate that is not trusted, https:// to a port for http://, and the reverse."""
    setting, address = route.variable or "its address", route.address
    if isinstance(untrusted := _first(errors, "SSLCertVerificationError"), ssl.SSLCertVerificationError):
        return Failure(_untrusted(untrusted, route), retryable=False)
    tls = urlsplit(route.url).scheme == "https"
    ssl_error = _first(errors, "SSLError")
    reason = getattr(ssl_error, "reason", None)
    if tls and reason in _NOT_TLS:
        return Failure(f"{address} does not speak https: write {setting} with http://", retryable=False)
    remedy = f"write {setting} with http:// if it does not speak https, and check firewalls and proxies"
    if tls and ssl_error and _first(errors, "ConnectTimeout"):
        return Failure(f"{address} did not complete the TLS handshake in time: {remedy}", retryable=True)
    if tls and _first(errors, "ConnectError") and (ssl_error or _first(errors, "EndOfStream", "BrokenResourceError")):
        cause = reason or "it closed the connection"
        return Failure(f"{address} fails the TLS handshake ({cause}): {remedy}", retryable=ssl_error is None)
    # h11 has no type for a reply that begins with a TLS alert.
    if not tls and any(text in str(_first(errors, "RemoteProtocolError")) for text in _TLS_ALERT):
        return Failure(_speaks_https(route), retryable=False)
    return None


def _speaks_https(route: Route) -> str:
    return f"{route.address} seems to speak https: write {route.variable or 'its address'} with https://"


def _untrusted(error: ssl.SSLCertVerificationError, route: Route) -> str:
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        remedy = "check this machine's clock, or have the certificate renewed"
    elif error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        remedy = f"check {route.variable or 'the address'}, and what leads to it (DNS, proxies)"
    elif route.certificates:
        name, value = route.certificates[0]
        remedy = f"{name} ({value}) lacks the authority that signed it: add that one's certificate, or unset {name}"
    else:
        remedy = "if your network inspects TLS, set SSL_CERT_FILE to a PEM file with its authority's certificate"
    return f"the certificate of {route.address} is not trusted ({error.verify_message.rstrip('.')}): {remedy}"


def _explain_connect(errors: list[BaseException], route: Route) -> Failure:
    """Explain a connection that was not made, or broke off."""
    setting = route.proxy_variable or route.variable or "its address"
    address = address_of(route.proxy or route.url)
    name = f"the proxy {address} ({route.proxy_variable})" if route.proxy else address
    direct = "" if route.proxy or route.variable else ", or set HTTPS_PROXY if only a proxy leads out"
    if _first(errors, "UnsupportedProtocol"):
        return Failure(f"{setting} has no http:// or https://: write it as http://host:port", retryable=False)
    if _first(errors, "gaierror"):
        host = urlsplit(route.proxy or route.url).hostname
        whose = f" of the proxy ({route.proxy_variable})" if route.proxy else ""
        checks = f"check {setting}, and the network's DNS" if route.variable or route.proxy else "check the network"
        return Failure(f"the name {host}{whose} cannot be resolved: {checks}{direct}", retryable=True)
    if _first(errors, "ConnectionRefusedError"):
        remedy = f"start the server, or check {setting}" if route.variable or route.proxy else "check the network"
        return Failure(f"{name} refuses connections: {remedy}{direct}", retryable=True)
    if _first(errors, "ConnectTimeout"):
        checks = f"check {setting}, and firewalls" if route.variable or route.proxy else "check firewalls"
        return Failure(f"{name} accepted no connection in time: {checks}{direct}", retryable=True)
    system = (error for error in errors if isinstance(error, OSError) and not isinstance(error, ssl.SSLError))
    numbers = [error.errno for error in system]
    if text := next((_SYSTEM[number] for number in numbers if number in _SYSTEM), None):
        return Failure(text.format(address=name, setting=setting), retryable=True)
    if _first(errors, "ConnectError"):
        return Failure(f"{name} accepts no connection: check {setting}{direct}", retryable=True)
    cause = "reset the connection" if _first(errors, "ConnectionResetError") else "closed the connection"
    hint = "try again"
    before_reply = _first(errors, "APIConnectionError")
    if route.variable and urlsplit(route.url).scheme == "http" and before_reply:
        hint += f", or write {route.variable} with https:// if it speaks https"
    return Failure(f"{name} {cause} before the reply was complete: {hint}", retryable=True, connected=True)


def _first(errors: list[BaseException], *names: str) -> BaseException | None:
    """Return the first error with one of these class names, also as a base class, None if there is none.

    By names, because httpx and httpx2, which openai uses, have the same classes.
    """
    return next((error for error in errors if any(cls.__name__ in names for cls in type(error).__mro__)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it comes from, outermost first."""
    queue, seen = [error], set[int]()
    while queue:
        error = queue.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            queue += error.exceptions
        if cause := error.__cause__ or error.__context__:
            queue.append(cause)


def _url_of(error: BaseException) -> str:
    """Return the URL of the request that failed, "" if the error has none."""
    try:
        return str(getattr(getattr(error, "request", None), "url", ""))
    except RuntimeError:  # httpx: the request is not set
        return ""
