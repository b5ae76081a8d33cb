"""Scripts for the scripted Groq, and which calls it received."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from testing.scripted_groq import Reply, Request, ScriptedGroq, first, good_model, refine, synthesis

TOOL_QUESTION = "What is 17 * 23?"
HANG = Reply(hang=True)
FLIPPED = [first("41"), refine("**42**", "revise"), refine("42"), synthesis()]
Calls = Counter[tuple[str, str]]


def step(request: Request) -> str:
    asked = request.messages[-1]["content"]
    return "synthesis" if "Concise Answer" in asked else f"turn {len(request.messages) // 2}"


def call(request: Request) -> tuple[str, str]:
    """Which question it is that a request belongs to, and which call of its run."""
    return request.messages[1]["content"].split("\n")[0], step(request)


def called(groq: ScriptedGroq) -> Calls:
    return Counter(map(call, groq.requests))


def failing(*calls: tuple[str, str]) -> Any:
    return lambda request: Reply(status=400) if call(request) in calls else good_model(request)


def hanging(*calls: tuple[str, str]) -> Callable[[Request], Reply]:
    """A good model that hangs in each of these calls, but only once."""
    left = list(calls)

    def script(request: Request) -> Reply:
        if call(request) in left:
            left.remove(call(request))
            return HANG
        return Reply(good_model(request))

    return script


def nth_call(request: Request) -> tuple[str, int]:
    """Which question it is that a request belongs to, and its how manieth call."""
    return request.messages[1]["content"].split("\n")[0], len(request.messages) // 2


def counted(groq: ScriptedGroq) -> Counter[tuple[str, int]]:
    return Counter(map(nth_call, groq.requests))


def agent_model(request: Request) -> Reply | str:
    """Call the tool twice at once, until it has answered; as the tool's own model, answer well."""
    if "tools" not in request.body:
        return good_model(request)
    if any(message["role"] == "tool" for message in request.messages):
        return "My tool says 42."
    calls = [("think_in_turns", {"question": question}) for question in (TOOL_QUESTION, "And 19 * 21?")]
    return Reply(calls=calls, finish_reason="tool_calls")
