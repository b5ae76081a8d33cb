"""Where the time and the tokens of a run went: the share of each step."""

from collections.abc import Sequence
from typing import NamedTuple

from llamaberry.runs.past_run import Node


class Share(NamedTuple):
    """A step's seconds and tokens, and how much they are of those of the run's longest and largest step, 0 to 1."""

    name: str
    seconds: float
    tokens: int | None
    """None if the provider did not count them."""
    of_seconds: float
    of_tokens: float


def shares(nodes: Sequence[Node]) -> list[Share]:
    """Return the share of each step; none for a run of one step, of which there is nothing to compare."""
    if len(nodes) < 2:
        return []
    tokens = [node.call["usage"]["total_tokens"] if node.call["usage"] else None for node in nodes]
    most_seconds = max(node.call["seconds"] for node in nodes) or 1
    most_tokens = max(number or 0 for number in tokens) or 1
    return [
        Share(node.name, node.call["seconds"], number, node.call["seconds"] / most_seconds, (number or 0) / most_tokens)
        for node, number in zip(nodes, tokens, strict=True)
    ]
