"""What traces of a run look like, and hosts and collectors for them."""

import os
import subprocess
import sys

TREE = ["first_turn", "refine_turn 2", "refine_turn 3", "synthesize"]
TROUBLE = {  # of a collector; None is one that is down
    "down": None,
    "refusing": {"status": 401},
    "limiting": {"status": 429},
    "failing": {"status": 500},
    "slow": {"delay": 30},
    "dripping": {"drip": True},
}


def tree_of(*nodes: str, depth: int = 0) -> list[str]:
    """Return the tree of a run: the graph, its nodes, and below each its model call."""
    below = [line for node in nodes for line in (f"  {node}", f"    {node} model call")]
    return ["  " * depth + line for line in ["llamaberry", *below]]


def python(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a host program that embeds the graph."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=os.environ | more, capture_output=True, text=True, timeout=60, check=True)
