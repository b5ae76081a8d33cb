"""Traces of a run: their shape, host programs that make them, and failures of a collector."""

import os

from testing.command import LIMIT_S, running_command

RUN_NODES = ["turn 1", "check", "turn 2", "turn 3", "synthesis"]
COLLECTOR_FAULTS = {  # name -> arguments of Collector; None: nothing listens
    "down": None,
    "refusing": {"status": 401},
    "limiting": {"status": 429},
    "failing": {"status": 500},
    "slow": {"delay": 30},
    "dripping": {"drip": True},
}


def expected_tree(*nodes: str, depth: int = 0) -> list[str]:
    """Return the names of a run, indented: the graph, its nodes, and their model calls."""
    below = [line for node in nodes for line in (f"  {node}", f"    {node} model call")]
    return ["  " * depth + line for line in ["llamaberry", *below]]


def run_python(code: str, **more: str) -> None:
    """Run a program that embeds the graph; it must succeed."""
    with running_command(code=code, env=os.environ | more) as run:
        outputs = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0, outputs
