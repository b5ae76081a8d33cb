"""A trace viewer on this machine: Arize Phoenix, on loopback alone, with all that calls out switched off."""

import os
import socket
import sys
import threading
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

import httpx

from llamaberry.graph.errors import SetupError
from llamaberry.threads import data_folder

# What Phoenix reads of the environment when it is imported. Its bash and web tools belong to the assistant.
QUIET = {
    "PHOENIX_HOST": "127.0.0.1",
    "PHOENIX_TELEMETRY_ENABLED": "false",
    "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    "PHOENIX_AGENTS_DISABLE_BASH": "true",
    "PHOENIX_AGENTS_DISABLE_WEB_ACCESS": "true",
    "PHOENIX_ENABLE_MCP_SERVER": "false",
    "PHOENIX_ALLOWED_SANDBOX_PROVIDERS": "NONE",
    "PHOENIX_LOGGING_LEVEL": "warning",
    "PHOENIX_DB_LOGGING_LEVEL": "error",
    "PHOENIX_LOG_MIGRATIONS": "false",
    "PHOENIX_FASTAPI_MIDDLEWARE_PATHS": f"{Path(__file__).with_name('viewer_host.py')}:OwnHost",
}
KEPT = ("HOME", "LANG", "PATH", "TMPDIR", "TZ", "USER", "LC_", "PYTHON", "SYSTEMROOT", "XDG_")
"""What begins so stays in its environment: its playground would use a key of yours for whoever opens the page."""


def serve(port: int) -> None:
    """Serve the viewer until Ctrl-C, and say where it is once it answers. Traces are kept in SQLite.

    Raises:
        SetupError: the extra is not installed, the port is taken, or the folder cannot be written.
    """
    _free(port)
    folder = _folder()
    for name in [name for name in os.environ if not name.startswith(KEPT)]:
        del os.environ[name]
    os.environ |= QUIET | {"PHOENIX_PORT": str(port), "PHOENIX_WORKING_DIR": str(folder)}
    try:
        from phoenix.server import app
        from phoenix.server.main import main
    except ImportError as missing:
        raise SetupError(f'the trace viewer needs: pip install "llamaberry[traces]" ({missing})') from missing
    # Its second door, OTLP over gRPC, is open to all interfaces whatever PHOENIX_HOST says. Nothing of ours needs it.
    grpc = vars(app)["GrpcServer"]
    vars(app)["GrpcServer"] = lambda *args, **kwargs: grpc(*args, **kwargs | {"disabled": True})
    threading.Thread(target=_announce, args=(port, folder, sys.stdout), daemon=True).start()
    sys.argv = ["phoenix", "serve"]
    log = folder / "viewer.log"
    with log.open("w") as told, redirect_stdout(told), redirect_stderr(told), suppress(KeyboardInterrupt):
        try:
            main()
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=told)
            remedy = f"its log is {log}; where {folder / 'phoenix.db'} is damaged, move it away"
            raise SetupError(f"the trace viewer has ended ({type(error).__name__}): {remedy}") from error


def _free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        raise SetupError(f"port {port} cannot be used ({error}): choose another with --port") from error


def _folder() -> Path:
    folder = data_folder() / "traces"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise SetupError(f"{folder} cannot be made ({error.strerror}): set LLAMABERRY_HOME elsewhere") from error
    return folder


def _announce(port: int, folder: Path, out: TextIO) -> None:
    address = f"http://127.0.0.1:{port}"
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{address}/healthz", timeout=1, trust_env=False).is_success:
                break
        time.sleep(0.1)
    print(
        f"Traces are shown at {address} and kept in {folder}; Ctrl-C ends this.\n"
        f"Where you ask, and where an agent of yours runs:\n\n    export LLAMABERRY_TRACES={address}\n",
        file=out,
        flush=True,
    )
