"""Where the graph goes next: pure functions of the state.

The reason to stop is written into the state by the node that ends a turn, so that the router needs nothing else:
every fork and every re-run from a checkpoint takes the edge that the state in it says.
"""

from collections.abc import Sequence
from typing import Literal

from llamaberry.graph.answers import same_answer
from llamaberry.graph.context import Context
from llamaberry.graph.state import State, StopReason, Turn


def after_turn(state: State) -> Literal["refine_turn", "synthesize"]:
    """Go on refining until a turn has written why to stop."""
    return "synthesize" if state.get("stop_reason") else "refine_turn"


def to_verify(state: State) -> Literal["verify", "synthesize"]:
    """Check the turn that was just written; there is none where a person stopped, or where the call failed."""
    return "synthesize" if state.get("stop_reason") in ("review", "error") else "verify"


def why_stop(turns: Sequence[Turn], context: Context) -> StopReason | None:
    """Return why refining ends after these turns; None where it goes on.

    Tokens are those that the provider counted; seconds are those of the turns, so that a person's pause or a resumed
    process takes nothing from the deadline.
    """
    if context.early_stop and len(turns) > 1 and same_answer(turns[-2], turns[-1]):
        return "agreement"
    if len(turns) >= context.max_turns:
        return "max_turns"
    if context.token_budget is not None and tokens(turns) >= context.token_budget:
        return "budget"
    if context.deadline_s is not None and sum(turn["seconds"] for turn in turns) >= context.deadline_s:
        return "deadline"
    return None


def tokens(turns: Sequence[Turn]) -> int:
    """Return the tokens of all turns, prompts and replies."""
    return sum(turn["usage"]["total_tokens"] for turn in turns if turn["usage"])
