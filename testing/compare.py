"""`llamaberry compare`, run as a user runs it, and a model for its runs."""

import json
from typing import Any

from testing.command import QUESTION, llamaberry
from testing.scripted_groq import Reply, Request, ScriptedGroq, first, refine, synthesis

USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}


WRONG_THEN_RIGHT = {
    "first": first("It is 41"),
    "refine": refine("It is 42", "revise"),
    "synthesis": synthesis("Six times seven is 42.", "42"),
}


def request_kind(request: Request) -> str:
    instruction = request.messages[-1]["content"]
    return "synthesis" if "the synthesis" in instruction else "refine" if "a refine turn" in instruction else "first"


class ModelByKind:
    """A script with one reply for each kind of request, whichever run makes it; a list is used up in order."""

    def __init__(self, **replies: Any) -> None:
        self.replies = {
            kind: list(reply) if isinstance(reply, list) else reply
            for kind, reply in (WRONG_THEN_RIGHT | replies).items()
        }

    def __call__(self, request: Request) -> Reply | str:
        reply = self.replies[request_kind(request)]
        if isinstance(reply, list):
            reply = reply.pop(0)
        return Reply(reply, usage=USAGE) if isinstance(reply, str) else reply


def request_kinds(groq: ScriptedGroq) -> list[str]:
    return sorted(request_kind(request) for request in groq.requests)


def run_compare(*words: str, code: int = 0) -> dict[str, Any]:
    run = llamaberry("compare", QUESTION, "--json", *words)
    assert run.returncode == code, run
    document: dict[str, Any] = json.loads(run.stdout)
    return document
