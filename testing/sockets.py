"""Servers on loopback that fail in every way that a network can: closed ports, proxies, certificates."""

import datetime
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

RESET = b"reset"
"""As a reply: the connection is reset."""


@dataclass
class SocketServer:
    """A server that reads one request of each connection, sends the same bytes, and closes it."""

    port: int
    received: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The host:port."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def serve_bytes(reply: bytes, context: ssl.SSLContext | None = None) -> Iterator[SocketServer]:
    """Serve `reply` to each connection; with a context, by TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = SocketServer(listener.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listener, server, reply, context), daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        thread.join()


def _serve(listener: socket.socket, server: SocketServer, reply: bytes, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            accepted, _ = listener.accept()
            with accepted, suppress(OSError):
                # Not wrapped with a timeout of its own: a client that sends nothing closes the connection.
                connection = context.wrap_socket(accepted, server_side=True) if context else accepted
                with connection:
                    server.received.append(_read_request(connection))
                    if reply == RESET:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    else:
                        connection.sendall(reply)


def _read_request(connection: socket.socket) -> bytes:
    """Read all of a request: closing a socket that holds unread bytes would reset the connection."""
    request = connection.recv(65536)
    while request.startswith((b"POST ", b"GET ")) and not _is_complete(request) and (more := connection.recv(65536)):
        request += more
    return request


def _is_complete(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = next((line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length" in line), b"0")
    return bool(end) and len(body) >= int(length)


@contextmanager
def serve_silence() -> Iterator[int]:
    """Accept connections, and never read or send; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def closed_port() -> int:
    """Return a port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def http(status: str, body: str = "") -> bytes:
    """Return an HTTP response with this status line's end, such as "407 Proxy Authentication Required"."""
    return f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def certificate(folder: Path, host: str = "127.0.0.1", *, valid_days: int = 1) -> Path:
    """Write a certificate for an IP address that signs itself, and its key, to one PEM file. Negative: expired."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(valid_days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(end - datetime.timedelta(10)).not_valid_after(end)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    path = folder / f"{host}.pem"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*form) + signed.public_bytes(serialization.Encoding.PEM))
    return path


def tls_context(pem: Path) -> ssl.SSLContext:
    """Return a server's context with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
