"""A trace viewer on this machine: Arize Phoenix, on loopback only, with everything off that sends data elsewhere."""

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

from llamaberry.folders import data_folder
from llamaberry.graph.errors import SetupError

# Phoenix reads these when it is imported. Its bash and web tools belong to the assistant.
PHOENIX_ENV = {
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
    "PHOENIX_FASTAPI_MIDDLEWARE_PATHS": f"{Path(__file__).with_name('viewer_host.py')}:LocalHostOnly",
}
ENV_ALLOWLIST = ("HOME", "LANG", "PATH", "TMPDIR", "TZ", "USER", "LC_", "PYTHON", "SYSTEMROOT", "XDG_")
"""Prefixes of the variables that Phoenix gets. With your API keys, anyone could call models from its playground."""


def serve(port: int) -> None:
    """Serve the viewer until Ctrl-C, and print its address once it answers. Traces are stored in SQLite.

    Raises:
        SetupError: the extra is not installed, the port is in use, or the folder cannot be written.
    """
    _check_port(port)
    folder = _create_folder()
    for name in [name for name in os.environ if not name.startswith(ENV_ALLOWLIST)]:
        del os.environ[name]
    os.environ |= PHOENIX_ENV | {"PHOENIX_PORT": str(port), "PHOENIX_WORKING_DIR": str(folder)}
    try:
        from phoenix.server import app
        from phoenix.server.main import main
    except ImportError as error:
        raise SetupError(f'the trace viewer needs: pip install "llamaberry[traces]" ({error})') from error
    # Phoenix's OTLP server for gRPC listens on [::] whatever PHOENIX_HOST says, and no setting turns it off
    # (phoenix/server/grpc_server.py). Our spans come by HTTP, so it starts disabled.
    grpc = vars(app)["GrpcServer"]
    vars(app)["GrpcServer"] = lambda *args, **kwargs: grpc(*args, **kwargs | {"disabled": True})
    threading.Thread(target=_announce, args=(port, folder, sys.stdout), daemon=True).start()
    sys.argv = ["phoenix", "serve"]
    log = folder / "viewer.log"
    with log.open("w") as out, redirect_stdout(out), redirect_stderr(out), suppress(KeyboardInterrupt):
        try:
            main()
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=out)
            remedy = f"see {log}; if {folder / 'phoenix.db'} is damaged, move it away"
            raise SetupError(f"the trace viewer failed ({type(error).__name__}): {remedy}") from error


def _check_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        raise SetupError(f"port {port} cannot be used ({error}): choose another with --port") from error


def _create_folder() -> Path:
    folder = data_folder() / "traces"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise SetupError(f"{folder} cannot be created ({error.strerror}): set LLAMABERRY_HOME elsewhere") from error
    return folder


def _announce(port: int, folder: Path, out: TextIO) -> None:
    address = f"http://127.0.0.1:{port}"
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{address}/healthz", timeout=1, trust_env=False).is_success:
                break
        time.sleep(0.1)
    print(
        f"Traces are shown at {address} and stored in {folder}; stop with Ctrl-C.\n"
        f"In the terminal of `llamaberry ask`, or of your agent:\n\n    export LLAMABERRY_TRACES={address}\n",
        file=out,
        flush=True,
    )
