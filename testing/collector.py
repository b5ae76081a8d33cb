"""A collector of LangSmith and OTLP traces on loopback, which puts the runs and spans together again."""

import email
import gzip
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

INFO = {
    "version": "0.13.0",
    "instance_flags": {"zstd_compression_enabled": True},
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_000_000,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 4,
        "scale_down_nempty_trigger": 4,
    },
}
PROJECT = {
    "id": "00000000-0000-0000-0000-000000000001",
    "tenant_id": "00000000-0000-0000-0000-000000000002",
    "name": "tests",
    "start_time": "2026-01-01T00:00:00",
    "reference_dataset_id": None,
}


class Collector(ThreadingHTTPServer):
    """A server that stores all requests, unpacked.

    It responds with `status`, after `delay` seconds; with `drip`, it sends one byte per second.
    """

    daemon_threads = True
    block_on_close = False  # do not wait for clients that wait for a slow response

    def __init__(self, *, status: int = 200, delay: float = 0, drip: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.status, self.delay, self.drip = status, delay, drip
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.datasets: list[dict[str, Any]] = []
        self.examples: list[dict[str, Any]] = []
        self.experiments: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def all_bytes(self) -> bytes:
        return b"\n".join(f"{path} {headers}".encode() + body for path, headers, body in self.requests)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs of all traces, by start time, each merged from its POST and PATCH requests."""
        runs: dict[str, dict[str, Any]] = {}
        for name, value in self._sent():
            kind, number, *field = name.split(".")
            if kind in ("post", "patch"):
                run = runs.setdefault(number, {})
                run.update({field[0]: value} if field else {key: item for key, item in value.items() if item})
        return sorted(runs.values(), key=lambda run: str(run["dotted_order"]))

    @property
    def feedback(self) -> list[dict[str, Any]]:
        """The feedback on runs."""
        return [value for name, value in self._sent() if name.startswith("feedback.")]

    def _sent(self) -> Iterator[tuple[str, Any]]:
        for path, headers, body in self.requests:
            if path.endswith("/runs/multipart"):
                yield from _parts(headers["content-type"], body)

    def resource(self, method: str, path: str, body: bytes) -> Any:
        """Handle a request for datasets, examples or experiments; otherwise return the server's INFO."""
        url = urlsplit(path)
        name, _, number = url.path.strip("/").partition("/")
        stored = {"datasets": self.datasets, "examples": self.examples, "sessions": self.experiments}.get(name)
        if stored is None:
            return INFO
        params = {key: values[0] for key, values in parse_qs(url.query).items()}
        if method == "GET" and number:
            return next((item for item in stored if item["id"] == number), None)
        if method == "GET" and name == "sessions" and params.get("name", PROJECT["name"]) == PROJECT["name"]:
            return [PROJECT]
        if method == "GET":
            filters = {"dataset_id": params.get("dataset"), "name": params.get("name")}
            matches = [
                item for item in stored if all(item.get(key) == value for key, value in filters.items() if value)
            ]
            return matches[int(params.get("offset", 0)) :][: int(params["limit"])]
        payload = json.loads(body)
        if method == "PATCH":
            return next(item for item in stored if item["id"] == number) | payload
        for item in payload if isinstance(payload, list) else [payload]:
            now = {"created_at": "2026-01-01T00:00:00Z", "modified_at": "2026-01-01T00:00:00Z"}
            tenant = {"tenant_id": PROJECT["tenant_id"], "id": str(uuid4())}
            stored.append(now | tenant | item)
        return stored[-len(payload) :] if isinstance(payload, list) else stored[-1]

    def rows(self, experiment: dict[str, Any]) -> list[dict[str, Any]]:
        """Return an experiment's rows: the runs that name an example."""
        return [
            run for run in self.runs if run.get("reference_example_id") and run["session_name"] == experiment["name"]
        ]

    def tree(self) -> list[str]:
        """Return the runs' names, indented by their depth."""
        return ["  " * run["dotted_order"].count(".") + run["name"] for run in self.runs]

    def run(self, name: str) -> dict[str, Any]:
        """Return the one run of this name."""
        (run,) = [run for run in self.runs if run["name"] == name]
        return run

    def wait_for(self, name: str, timeout: float = 30) -> None:
        """Block until a run of this name has ended and arrived."""
        deadline = time.monotonic() + timeout
        while not any(run["name"] == name and run.get("end_time") for run in self.runs):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no run {name!r} after {timeout} s, but {self.tree()}")
            time.sleep(0.02)

    @property
    def spans(self) -> list[Any]:
        """The OTLP spans, by start time."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        requests = [
            ExportTraceServiceRequest.FromString(body) for path, _, body in self.requests if path == "/v1/traces"
        ]
        groups = [scope.spans for request in requests for one in request.resource_spans for scope in one.scope_spans]
        return sorted((span for group in groups for span in group), key=lambda span: span.start_time_unix_nano)


def metadata(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run's metadata."""
    values: dict[str, Any] = run["extra"]["metadata"]
    return values


def _parts(content_type: str, body: bytes) -> Iterator[tuple[str, Any]]:
    parsed = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    for part in parsed.get_payload():
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        yield str(name), json.loads(part.get_payload(decode=True))  # type: ignore[union-attr, arg-type]


class _Receiver(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._store(b"")
        resource = self.server.resource("GET", self.path, b"")
        self._respond(json.dumps(resource).encode(), 404 if resource is None else 200)

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("content-encoding") == "zstd":
            zstandard = pytest.importorskip("zstandard")
            body = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True).read()
        elif self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self._store(body)
        resource = {} if "/multipart" in self.path else self.server.resource(self.command, self.path, body)
        self._respond(b"" if self.path == "/v1/traces" else json.dumps(resource).encode())

    do_PATCH = do_POST  # noqa: N815 - http.server's own name

    def _store(self, body: bytes) -> None:
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _respond(self, body: bytes, status: int = 200) -> None:
        time.sleep(self.server.delay)
        self.send_response(status if self.server.status == 200 else self.server.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(60 if self.server.drip else len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # the client has disconnected
            for piece in (b" " for _ in range(60)) if self.server.drip else (body,):
                self.wfile.write(piece)
                time.sleep(self.server.drip)

    def log_message(self, *args: object) -> None: ...


@contextmanager
def serve_collector(server: Collector) -> Iterator[Collector]:
    """Serve in the background."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
