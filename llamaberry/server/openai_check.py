"""The check of an answer as text: what the OpenAI-compatible API shows of it among the turns."""

import re

from llamaberry.console import plain
from llamaberry.graph.events import CheckFinished

CHECK = "check"
"""The name of the step, as that of a turn is "turn 2"."""

_VERDICTS = {
    "agrees": "The answer of turn {turn} agrees with the program's.",
    "differs": "The answer of turn {turn} differs from the program's.",
    "failed": "The program failed: it says nothing about the answer of turn {turn}.",
}


def describe_check(event: CheckFinished, previous: CheckFinished | None) -> str:
    """Return the program, its output and the verdict; "" if no program can answer the question, or nothing has changed.

    The program of the `previous` check is not repeated.
    """
    program, error = event["program"], event["error"]
    is_new = program and not (previous and previous["program"] == program)
    if event == previous or (event["verdict"] == "none" and not (previous and previous["program"])):
        return ""
    if event["verdict"] == "none":
        return "The program was withdrawn, and no other one was written."
    if error and not is_new:  # the model call failed, not the program
        return f"The check failed: {plain(error)}"
    parts = []
    if program and is_new:
        parts.append(_fenced(program, "python"))
        if (event["output"] or "").strip():
            parts.append(f"It printed:\n\n{_fenced(event['output'] or '')}")
        if error:
            parts.append(f"Its error:\n\n{_fenced(error)}")
    return "\n\n".join([*parts, _VERDICTS[event["verdict"]].format(turn=event["turn"])])


def _fenced(text: str, language: str = "") -> str:
    """Return a text as a block of code, in a fence that is longer than any in the text."""
    text = plain(text).strip("\n")
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
