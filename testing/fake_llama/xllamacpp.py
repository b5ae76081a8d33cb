"""Stands for llama.cpp in the local model's child process: a scripted OpenAI-compatible server.

`script.json` beside the model file lists the replies in order, also across restarts: `text`, `wait` (seconds
before the reply), `pause` (before each piece), `stall` and `die` (after so many pieces). Each request is stored as
`N.json`.
"""

import json
import os
import re
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_lock = threading.Lock()


class CommonParams:
    """Accepts any parameter."""

    def __init__(self) -> None:
        self.model = SimpleNamespace()


class Server:
    """Serves in the background."""

    def __init__(self, params: Any) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Handler.folder = Path(params.model.path).parent
        self.listening_address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """Streams the next reply of the script."""

    folder: Path
    protocol_version = "HTTP/1.1"  # a reply in chunks: one that is cut has no end

    def do_POST(self) -> None:
        """Send the reply's pieces, each after a pause, then its end."""
        folder = self.folder
        body = self.rfile.read(int(self.headers["content-length"]))
        with _lock:
            number = len(list(folder.glob("[0-9]*.json")))
            (folder / f"{number}.json").write_bytes(body)
        reply = json.loads((folder / "script.json").read_text())[number]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        time.sleep(reply.get("wait", 0))
        pieces = re.findall(r"\s*\S+|\s+", reply["text"])
        for count, piece in enumerate(pieces):
            if count == reply.get("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            if count == reply.get("stall"):
                threading.Event().wait()
            time.sleep(reply.get("pause", 0))
            self._send({"content": piece})
        self._send({}, "stop")
        self._write(b"data: [DONE]\n\n")
        self._write(b"")

    def _send(self, delta: dict[str, str], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        self._write(b"data: %b\n\n" % json.dumps(frame).encode())

    def _write(self, chunk: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""
