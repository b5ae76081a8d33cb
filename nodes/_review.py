"""Where a run pauses for a person, before a call is paid for."""

from typing import Any, NamedTuple, cast

from langgraph.config import get_config
from langgraph.types import interrupt
from pydantic import ValidationError

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.graph.review import Decision, NextNode, Pause
from llamaberry.graph.state import State
from llamaberry.graph.turn import Turn, keep_turns


class Reviewed(NamedTuple):
    """What a person decided: edits of the newest turn (perhaps none), and whether refining ends here."""

    edits: list[Turn]
    stop: bool


def review(node: str, state: State, context: Context, question: str) -> Reviewed:
    """Pause before `node` if the context asks for it, and return what the person decided.

    Raises:
        GraphInterrupt: LangGraph's; it ends the run until it is resumed.
        SetupError: before the first call, if there is no checkpointer to keep a paused run.
    """
    if context.review == "none":
        return Reviewed([], stop=False)
    # LangGraph has no public way to ask; without this check a run would end in a pause that nobody can answer.
    if get_config()["configurable"].get("__pregel_checkpointer") is None:
        raise SetupError(
            "a review pauses the run and needs a checkpointer: build_graph(checkpointer=…), or leave it out"
        )
    between_turns = context.review == "each_turn" and node == "refine_turn"
    before_synthesis = node == "synthesize" and state["stop_reason"] not in ("review", "error")
    if not (between_turns or before_synthesis):
        return Reviewed([], stop=False)
    newest = state["turns"][-1]
    decision = _ask_decision(cast("NextNode", node), newest, question)
    edit = decision.model_dump(include={"answer", "hint"}, exclude_none=True)
    if "hint" in edit and newest.get("hint"):
        edit["hint"] = f"{newest['hint']}\n{edit['hint']}"  # a checking node's comment, and the person's
    edits = keep_turns([newest], [cast("Turn", {"index": newest["index"], **edit})]) if edit else []
    return Reviewed(edits, stop=decision.action == "stop" and node == "refine_turn")


def _ask_decision(node: NextNode, turn: Turn, question: str) -> Decision:
    """Pause until the reply is a Decision. LangGraph keeps earlier replies, so an invalid one loses nothing."""
    pause: Pause = {
        "type": "review",
        "question": question,
        "turn": turn,
        "next": node,
        "reply": {name: str(field.description) for name, field in Decision.model_fields.items()},
        "problem": None,
    }
    while True:
        reply: Any = interrupt(pause)
        try:
            return Decision.model_validate({"action": reply.strip().lower()} if isinstance(reply, str) else reply)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False)[0]
            field = ".".join(map(str, problem["loc"])) or "the answer"
            pause = {**pause, "problem": f"{field}: {problem['msg']} (given: {repr(problem['input'])[:80]})"}
