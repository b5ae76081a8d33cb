"""Scripts for the scripted Groq, and the model calls that it received."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from testing.scripted_groq import Reply, Request, ScriptedGroq, first, good_model, refine, synthesis

TOOL_QUESTION = "What is 17 * 23?"
HANG = Reply(hang=True)
REVISED_ANSWER = [first("41"), refine("**42**", "revise"), refine("42"), synthesis()]
CallCounts = Counter[tuple[str, str]]


def call_step(request: Request) -> str:
    """Return the step of a call: "turn 1", … or "synthesis"."""
    instruction = request.messages[-1]["content"]
    return "synthesis" if "Concise Answer" in instruction else f"turn {len(request.messages) // 2}"


def call_of(request: Request) -> tuple[str, str]:
    """Return the question and the step of a call."""
    return request.messages[1]["content"].split("\n")[0], call_step(request)


def count_calls(groq: ScriptedGroq) -> CallCounts:
    """Count the calls by question and step."""
    return Counter(map(call_of, groq.requests))


def failing_calls(*calls: tuple[str, str]) -> Any:
    """Return a script of a good model that refuses these calls."""
    return lambda request: Reply(status=400) if call_of(request) in calls else good_model(request)


def hanging_once(*calls: tuple[str, str]) -> Callable[[Request], Reply]:
    """Return a script of a good model that hangs once in each of these calls."""
    pending = list(calls)

    def script(request: Request) -> Reply:
        if call_of(request) in pending:
            pending.remove(call_of(request))
            return HANG
        return Reply(good_model(request))

    return script


def nth_call_of(request: Request) -> tuple[str, int]:
    """Return the question of a call, and its number in the run, from 1."""
    return request.messages[1]["content"].split("\n")[0], len(request.messages) // 2


def count_nth_calls(groq: ScriptedGroq) -> Counter[tuple[str, int]]:
    """Count the calls by question and number."""
    return Counter(map(nth_call_of, groq.requests))


def agent_model(request: Request) -> Reply | str:
    """Be an agent that calls the tool twice in parallel and then answers; for the tool itself, a good model."""
    if "tools" not in request.body:
        return good_model(request)
    if any(message["role"] == "tool" for message in request.messages):
        return "My tool says 42."
    calls = [("think_in_turns", {"question": question}) for question in (TOOL_QUESTION, "And 19 * 21?")]
    return Reply(calls=calls, finish_reason="tool_calls")
