"""The person at the terminal, whom `llamaberry ask --review` asks after each turn."""

import sys

from llamaberry.console import plain
from llamaberry.graph.review import Pause

CHOICES = "[Enter] go on · s stop, and synthesize · h TEXT a hint for the next step · a TEXT another answer"


def ask_decision(pause: Pause) -> dict[str, str] | None:
    """Ask on standard error, and read a line of standard input; return a Decision's fields, None where there is none.

    What is neither of the choices is asked again.
    """
    turn = pause["turn"]
    _say(f"── review of turn {turn['index']} ── {plain(turn['answer'] or 'it states no answer')}")
    if pause["problem"]:
        _say(pause["problem"])
    while True:
        _say(CHOICES)
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            continue
        if not line:
            return None
        choice, _, text = line.strip().partition(" ")
        match choice.lower(), text.strip():
            case "", "":
                return {"action": "continue"}
            case "s", "":
                return {"action": "stop"}
            case "h", hint if hint:
                return {"action": "continue", "hint": hint}
            case "a", answer if answer:
                return {"action": "continue", "answer": answer}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
