"""A file of keys for LLAMABERRY_KEYS_FILE, and attempts to reach with one key what another created."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

KEYS = {"anna": "anna-key-0123456789", "ann": "ann-key-0123456789"}
"""The keys by the names of their callers; one name is the beginning of the other."""
SECRET = "anna's question"
ONE_CALL = {"max_turns": 1, "verify": "none"}
QUESTION = {"assistant_id": "llamaberry", "input": {"query": "Q"}}


def key_line(name: str, key: str) -> str:
    """Return the line of a key."""
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def write_keys(path: Path) -> str:
    """Write the file, and return its path."""
    path.write_text("# callers\n\n" + "".join(key_line(name, key) for name, key in KEYS.items()), encoding="utf-8")
    return str(path)


def ask(client: httpx.Client, query: str) -> str:
    """Ask on a new thread, and return its id."""
    thread: str = client.post("/threads", json={"metadata": {"topic": query}}).json()["thread_id"]
    body = {"assistant_id": "llamaberry", "input": {"query": query}, "context": ONE_CALL}
    assert client.post(f"/threads/{thread}/runs/wait", json=body).status_code == 200
    return thread


def create_all(client: httpx.Client) -> dict[str, str]:
    """Create one of each kind, and return their ids by the names of the routes' parameters."""
    thread = ask(client, SECRET)
    runs, state = client.get(f"/threads/{thread}/runs").json(), client.get(f"/threads/{thread}/state").json()
    described = {"name": SECRET, "metadata": {"topic": SECRET}}
    assistant = client.post("/assistants", json={"graph_id": "llamaberry", **described}).json()
    later = QUESTION | {"schedule": "0 0 1 1 *", "input": {"query": SECRET}, "enabled": False}
    cron = client.post("/runs/crons", json=later).json()
    client.put("/store/items", json={"namespace": ["notes"], "key": "k", "value": {"text": SECRET}})
    return {
        "thread_id": thread,
        "run_id": runs[0]["run_id"],
        "checkpoint_id": state["checkpoint"]["checkpoint_id"],
        "assistant_id": assistant["assistant_id"],
        "cron_id": cron["cron_id"],
    }


def bodies(ids: dict[str, str]) -> list[Any]:
    """Return bodies that name another's things in every field that routes read."""
    thread, checkpoint = ids["thread_id"], {"thread_id": ids["thread_id"], "checkpoint_id": ids["checkpoint_id"]}
    fields: dict[str, Any] = {"thread_id": thread, "thread_ids": [thread], "ids": [thread], "run_ids": [ids["run_id"]]}
    fields |= {"input": {"query": "Q"}, "values": {"query": "Q"}, "key": "k", "value": {}, "strategy": "delete"}
    fields |= {"namespace": ["anna", "notes"], "namespace_prefix": ["anna"], "prefix": ["anna"], "version": 1}
    fields |= {"graph_id": "llamaberry", "if_exists": "do_nothing", "if_not_exists": "create"}
    fields |= {"schedule": "0 0 1 1 *", "cron_id": ids["cron_id"], "channels": ["values"], "name": "x"}
    system = {"assistant_id": "llamaberry"}
    foreign = {"assistant_id": ids["assistant_id"], "context": ONE_CALL}
    elsewhere = {"config": {"configurable": checkpoint}}
    command = {"id": 1, "method": "run.start", "params": QUESTION}
    return [
        {},
        fields | system | {"context": ONE_CALL},
        fields | foreign,
        fields | system | elsewhere,
        fields | system | {"checkpoint": checkpoint | {"checkpoint_ns": ""}},
        {"thread_id": thread, "run_ids": [ids["run_id"]]},
        {"status": "all"},
        [{**QUESTION, "thread_id": thread}],
        command,
    ]


class Attempt(NamedTuple):
    """A request with another's ids, and its reply: (0, "") if the server fails, or sends nothing."""

    method: str
    route: str
    body: Any
    status: int
    text: str

    @property
    def was_refused(self) -> bool:
        """Whether the reply is an error or empty, if the route names what is not the caller's."""
        is_empty = self.text in ("", "[]", "null") or "error" in self.text
        return "_id}" not in self.route or self.status in (0, *range(400, 600)) or is_empty


def attempts(client: httpx.Client, routes: Sequence[tuple[str, str]], ids: dict[str, str]) -> Iterator[Attempt]:
    """Send requests to all routes of LangGraph's API, with these ids in path and body; those that delete come last."""
    parameters = {"namespace": "notes", "graph_id": "x", "operation_id": "x"} | ids
    for method, route in sorted(routes, key=lambda item: item[0] == "DELETE"):
        if method in ("HEAD", "WEBSOCKET") or route.startswith("/v1"):
            continue
        path = re.sub(r"\{([^}]*)\}", lambda name: parameters[name[1]], route)
        path += "?namespace=anna.notes&key=k" if route == "/store/items" and method == "GET" else ""
        for body in bodies(ids)[: 1 if method == "GET" else None]:
            yield Attempt(method, route, body, *_send(client, method, path, body))


def _send(client: httpx.Client, method: str, path: str, body: Any) -> tuple[int, str]:
    """Return the status, and the first text of the body; (0, "") if LangGraph fails, or sends nothing."""
    try:
        with client.stream(method, path, json=None if method == "GET" else body, timeout=1) as reply:
            return reply.status_code, next(reply.iter_text(), "")
    except httpx.HTTPError:
        return 0, ""
