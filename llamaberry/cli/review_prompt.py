"""`llamaberry ask --review`: ask the person at the terminal what to do after a turn."""

import sys

import typer

from llamaberry.console import plain
from llamaberry.graph.review import Pause

CHOICES = "[Enter] continue · s stop, and synthesize · h TEXT a hint for the next step · a TEXT another answer"


def ask_decision(pause: Pause) -> dict[str, str] | None:
    """Ask on stderr, read stdin until it has a valid choice; return a Decision's fields, None at the end of stdin."""
    turn = pause["turn"]
    typer.echo(f"── review of turn {turn['index']} ── {plain(turn['answer'] or 'no answer stated')}", err=True)
    if pause["problem"]:
        typer.echo(pause["problem"], err=True)
    while True:
        typer.echo(CHOICES, err=True)
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
