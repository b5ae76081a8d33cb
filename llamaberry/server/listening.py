"""The address of a server that a command starts: its socket, and the line that says where it is."""

import socket

import uvicorn

from llamaberry.console import print_error
from llamaberry.graph.errors import SetupError


def open_listener(host: str, port: int, remedy: str, *, name: str = "") -> socket.socket:
    """Return a socket that listens at this address. Port 0 is an unused one; `name` begins the message of an error.

    Raises:
        SetupError: the address cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise SetupError(f"{name}{host}:{port} cannot be used ({reason}): {remedy}") from error


class AnnouncedServer(uvicorn.Server):
    """A server that prints a line with its URL, in place of `{url}`, once requests and Ctrl-C are served."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the line."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port, *_ = listener.getsockname()
            print_error(self._line.format(url=f"http://{f'[{host}]' if ':' in host else host}:{port}"))
