"""Where the graph goes next: pure functions of the state.

The step that ends a turn writes the reason to stop into the state, so that a router needs nothing else: every fork and
every run from a checkpoint takes the edge that its state says.
"""

from collections.abc import Sequence
from typing import Literal

from llamaberry.graph.answers import same_answer
from llamaberry.graph.calls import Usage
from llamaberry.graph.check import Check, has_evidence
from llamaberry.graph.context import Context
from llamaberry.graph.state import State, StopReason
from llamaberry.graph.turn import Turn


def after_turn(state: State) -> Literal["verify", "refine_turn", "synthesize"]:
    """Check the newest turn, if that is to be done; then refine until a step has written why to stop."""
    if state.get("to_check"):
        return "verify"
    return "synthesize" if state.get("stop_reason") else "refine_turn"


def after_synthesis(state: State) -> Literal["synthesize", "__end__"]:
    """Put the answer into the requested schema, if that is to be done."""
    return "synthesize" if state.get("to_structure") else "__end__"


def is_to_check(turns: Sequence[Turn], check: Check | None, stop_reason: StopReason | None, context: Context) -> bool:
    """Return whether the newest turn is to be checked.

    After a first turn that ends the run, nothing more is paid for. A check that has found no program is not repeated.
    """
    if context.verify == "none" or stop_reason in ("review", "error") or (stop_reason and len(turns) == 1):
        return False
    return check is None or has_evidence(check)


def why_stop(turns: Sequence[Turn], usage: Usage, context: Context, check: Check | None = None) -> StopReason | None:
    """Return why refining ends after these turns; None if it goes on.

    Independent turns that agree confirm each other; turns that have seen each other, or a program, do not.
    `usage` has the tokens that the provider counted, their price, and the seconds of the calls: a person's pause and a
    process that resumes a run take nothing from the deadline. A cost that is not known counts as too high.
    """
    independent = context.second_turn == "independent" and not has_evidence(check)
    if (context.early_stop or independent) and len(turns) > 1 and same_answer(turns[-2], turns[-1]):
        return "agreement"
    if len(turns) >= context.max_turns:
        return "max_turns"
    if context.token_budget is not None and usage["total_tokens"] >= context.token_budget:
        return "budget"
    if context.max_cost_usd is not None and (usage["cost_usd"] is None or usage["cost_usd"] >= context.max_cost_usd):
        return "budget"
    if context.deadline_s is not None and usage["seconds"] >= context.deadline_s:
        return "deadline"
    return None
