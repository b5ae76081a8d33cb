"""The routes of `langgraph dev`, listed at the moment when it would start to serve."""

import json
import re
import subprocess
import sys
from pathlib import Path

from testing.command import LIMIT_S
from testing.server import CLI_SETTINGS, COMMAND, ROOT, server_environment

LIST_ROUTES = """
import importlib, json, sys
import uvicorn

def run(app, **options):
    module, name = app.split(":")
    routes, queue = [], list(getattr(importlib.import_module(module), name).routes)
    while queue:
        route = queue.pop()
        queue += getattr(route, "routes", None) or []
        if not getattr(route, "routes", None):
            routes.append([route.path, sorted(getattr(route, "methods", None) or ["WEBSOCKET"])])
    print("ROUTES" + json.dumps(routes))

uvicorn.run = run
sys.argv = ["langgraph", *sys.argv[1:]]
from langgraph_cli.cli import cli
cli()
"""


def list_routes(home: Path) -> list[tuple[str, str]]:
    """Return the method and the path of every route, with the names of its parameters."""
    command = [sys.executable, "-c", LIST_ROUTES, *COMMAND[3:]]
    env = server_environment(home) | CLI_SETTINGS
    ran = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    output = re.findall(r"^ROUTES(.*)$", ran.stdout, re.MULTILINE)
    assert output, ran.stderr[-2000:]
    return [(method, path) for path, methods in json.loads(output[0]) for method in methods]
