"""A user's own nodes: the example with a verifier, another prompt, and a synthesis without a call."""

import subprocess
import sys

from tests.conftest import Scripted
from tests.scripted_groq import first, refine


def test_a_verifier_s_finding_is_in_the_next_prompt_and_the_other_nodes_are_the_users(scripted: Scripted) -> None:
    groq = scripted([first("17 x 23 = 390, so 390"), refine("391", "revise")])
    command = [sys.executable, "examples/verifier.py", "What is 17 * 23?"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n") == [
        "turn 1: 17 x 23 = 390, so 390",
        "  A calculator says: 17 x 23 = 391, not 390.",
        "turn 2: 391",
        "391",
        "",
    ]
    asked = groq.requests[1].messages[-1]["content"]
    assert "A calculator says: 17 x 23 = 391" in asked
    assert asked.endswith("Be brief: three steps at the most.")
    assert len(groq.requests) == 2
