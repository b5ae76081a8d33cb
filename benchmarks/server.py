"""The scripted Groq of the benchmarks: a process of its own, whose replies are as long as real ones.

The model's name sets the delay before a reply's first byte ("after-200-ms"), the tokens per second
("after-200-ms-at-500"), and what comes of the check ("confirmed", "corrected", "no-program"). Other names: no delay.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from benchmarks.measure import ROOT
from testing.scripted_groq import Reply, Request, ScriptedGroq, first, program, refine, synthesis, wants_program

REPLY_TOKENS = 400
"""Tokens of a reply, at four characters each: the length of a large model's reply to a school problem."""

OUTCOMES = ("confirmed", "corrected", "no-program")
"""What comes of the check: the first answer is the program's, or another, or no program can answer the question."""

_DELAY = re.compile(r"after-(\d+)-ms(?:-at-(\d+))?")
_PROGRAM = """\
tank_litres, hours_a, hours_b = 240, 6, 4
litres_per_hour = tank_litres / hours_a + tank_litres / hours_b
hours = tank_litres / litres_per_hour
minutes_of_one = hours * 60
answer = 42
print(answer)"""
_STEP = "Put the value of the step before into the condition that the question sets, and see whether both sides agree."
_WHY = "The condition holds for this value and for no other, since each side of it grows by its own constant amount."
_numbers = count()  # makes every reply different


def reply_to(request: Request, tokens: int = REPLY_TOKENS, outcome: str = "confirmed") -> str:
    """Return a reply of about `tokens` tokens for the step that the prompt (Llamaberry's or the plain loop's) names."""
    if wants_program(request):
        return "NONE" if outcome == "no-program" else program(_PROGRAM)
    system, last = (str(request.messages[index]["content"]) for index in (0, -1))
    number = next(_numbers)
    steps = [(f"{_STEP} ({number}.{n})", _WHY) for n in range(max(1, tokens * 4 // 240))]
    if "This is the synthesis." in system + last:
        return synthesis(analysis=" ".join(f"{step} {why}" for step, why in steps))
    if "This is a refine turn." in system + last:
        return refine(steps=steps)
    return first("41" if outcome == "corrected" and "printed" not in last else "42", steps=steps)


def model(latency_ms: int, tokens_per_s: int = 0, outcome: str = "confirmed") -> str:
    """Return the name of the model with this delay; with `tokens_per_s` its replies take time for each token, too."""
    return f"after-{latency_ms}-ms{f'-at-{tokens_per_s}' if tokens_per_s else ''}-{outcome}"


@contextmanager
def serving(*options: str, module: str = "testing.scripted_groq") -> Iterator[str]:
    """Run a scripted Groq in its own process, and set the environment to use it; yield its address."""
    command = [sys.executable, "-m", module, *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the scripted Groq has no pipes")
        url = server.stdout.readline().strip()
        os.environ |= {"GROQ_API_KEY": "gsk_benchmark", "GROQ_API_BASE": url, "GROQ_BASE_URL": url}
        os.environ["LANGSMITH_TRACING"] = "false"
        try:
            yield url
        finally:
            server.stdin.close()  # the server ends when its standard input closes


def main() -> None:
    """Print the address, and serve until standard input closes."""

    def script(request: Request) -> Reply:
        groq.requests.clear()  # not used here; they would take memory
        groq.program_requests.clear()
        name = str(request.body.get("model"))
        outcome = next((outcome for outcome in OUTCOMES if name.endswith(outcome)), "confirmed")
        text, delay = reply_to(request, outcome=outcome), _DELAY.search(name)
        latency_s, tokens_per_s = (int(delay[1]) / 1000, int(delay[2] or 0)) if delay else (0, 0)
        return Reply(text, delay=latency_s + (len(text) / 4 / tokens_per_s if tokens_per_s else 0))

    with ScriptedGroq(script, script) as groq:
        sys.stdout.write(f"{groq.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
