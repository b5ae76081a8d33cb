"""The check of an answer as markdown, for clients of the OpenAI-compatible API."""

import re

from llamaberry.console import plain
from llamaberry.graph.check import Check, describe_check
from llamaberry.graph.turn import Turn

CHECK = "check"
"""The name of the step, as that of a turn is "turn 2"."""


def render_check(check: Check, turn: Turn, before: Check | None) -> str:
    """Return the program, what it printed, and in a sentence what follows for this turn.

    The program of the check `before` it is not repeated.
    """
    parts = []
    if check["program"] and not (before and before["program"] == check["program"]):
        parts.append(fenced(check["program"], "python"))
        if (output := check["output"] or "").strip():
            parts += ["It printed:", fenced(output)]
    return "\n\n".join([*parts, plain(describe_check(check, [turn]))])


def fenced(text: str, language: str = "") -> str:
    """Return a text as a code block that nothing in it can end."""
    text = plain(text).strip("\n")
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
