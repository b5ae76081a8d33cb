"""Where a run pauses for a person, before a call is paid for; and what the answer changes."""

from typing import Any, Literal, cast

from langgraph.config import get_config
from langgraph.types import interrupt
from pydantic import ValidationError

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.graph.reply import reread
from llamaberry.graph.review import Decision, Pause
from llamaberry.graph.state import State, Turn, keep_turns
from llamaberry.nodes._conversation import question_of


def reviewed(node: str, state: State, context: Context) -> tuple[list[Turn], bool]:
    """Pause before `node` where the context asks for it.

    Returns the newest turn as the person left it, in a list that is empty where nothing was changed, and whether
    refining is to end here. Raises LangGraph's GraphInterrupt, which ends the run until it is resumed, and SetupError
    before the first call where there is no checkpointer to keep a paused run.
    """
    # LangGraph has no public way to ask; without this a run would end in a silent pause that nobody can answer.
    if context.review != "none" and get_config()["configurable"].get("__pregel_checkpointer") is None:
        raise SetupError(
            "a review pauses the run and needs a checkpointer: build_graph(checkpointer=…), or leave it out"
        )
    everywhere = context.review == "each_turn" and node == "refine_turn"
    last = context.review != "none" and node == "synthesize" and state["stop_reason"] not in ("review", "error")
    if not (everywhere or last):
        return [], False
    decision = _decision(cast("Literal['refine_turn', 'synthesize']", node), state)
    edit = decision.model_dump(include={"answer", "hint"}, exclude_none=True)
    newest = state["turns"][-1]
    if "hint" in edit and newest.get("hint"):
        edit["hint"] = f"{newest['hint']}\n{edit['hint']}"  # a checking node's, and the person's
    turns = [cast("Turn", {**newest, **edit})] if edit else []
    return keep_turns([newest], turns) if turns else [], decision.action == "stop" and node == "refine_turn"


def _decision(node: Literal["refine_turn", "synthesize"], state: State) -> Decision:
    """Ask until the answer is one: LangGraph keeps what was answered before, so a bad answer loses nothing."""
    reply = {name: str(field.description) for name, field in Decision.model_fields.items()}
    pause: Pause = {
        "type": "review",
        "question": question_of(state),
        "turn": reread(state["turns"])[-1],
        "next": node,
        "reply": reply,
        "problem": None,
    }
    while True:
        given: Any = interrupt(pause)
        try:
            return Decision.model_validate({"action": given.strip().lower()} if isinstance(given, str) else given)
        except ValidationError as error:
            mistake = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(map(str, mistake["loc"])) or "the answer"
            pause = {**pause, "problem": f"{place}: {mistake['msg']} (given: {repr(mistake['input'])[:80]})"}
