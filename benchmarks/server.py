"""The scripted Groq of all measurements: a process of its own, whose replies are as long as real ones.

A model's name says what it waits before a reply's first byte, in milliseconds: "after-200-ms". Another name waits for
nothing.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from testing.scripted_groq import Reply, Request, ScriptedGroq, first, refine, synthesis

TOKENS = 400
"""Of a reply, four characters each: what a large model writes about a school problem."""

_WAIT = re.compile(r"after-(\d+)-ms")
_STEP = "Put the value of the step before into the condition that the question sets, and see whether both sides agree."
_numbers = count()  # no two replies are the same
_WHY = "The condition holds for this value and for no other, since each side of it grows by its own constant amount."


def reply_to(request: Request, tokens: int = TOKENS) -> str:
    """Write the reply that is asked for, by the words with which both ways to ask begin, about so many tokens long."""
    asked = [str(message["content"]) for message in request.messages]
    number = next(_numbers)
    steps = [(f"{_STEP} ({number}.{n})", _WHY) for n in range(max(1, tokens * 4 // 240))]
    if any("This is the synthesis." in said for said in (asked[0], asked[-1])):
        return synthesis(analysis=" ".join(f"{said} {why}" for said, why in steps))
    if any("This is a refine turn." in said for said in (asked[0], asked[-1])):
        return refine(steps=steps)
    return first(steps=steps)


def model(latency_ms: int) -> str:
    """Return the name of the model that waits so long."""
    return f"after-{latency_ms}-ms"


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in a process of its own, and set the environment to reach it; yield its address."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the scripted Groq has no pipes")
        url = server.stdout.readline().strip()
        os.environ |= {"GROQ_API_KEY": "gsk_benchmark", "GROQ_API_BASE": url, "GROQ_BASE_URL": url}
        os.environ["LANGSMITH_TRACING"] = "false"
        try:
            yield url
        finally:
            server.stdin.close()  # it ends with its standard input


def main() -> None:
    """Print the address, and serve until standard input closes."""

    def script(request: Request) -> Reply:
        groq.requests.clear()  # nobody will look
        wait = _WAIT.search(str(request.body.get("model")))
        return Reply(reply_to(request), delay=int(wait[1]) / 1000 if wait else 0)

    with ScriptedGroq(script) as groq:
        sys.stdout.write(f"{groq.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
