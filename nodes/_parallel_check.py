"""The first turn, and at the same time the check's program: a confirmed answer then takes little longer than one call.

The program needs only the question. The price is a call for a question whose answer turns out to be a long text.
"""

import asyncio
from typing import Any

from llamaberry.graph.errors import ModelError
from llamaberry.graph.state import State
from llamaberry.graph.turn import keep_turns
from llamaberry.nodes._node import Attempt, Node, record_call
from llamaberry.nodes.first_turn import first_turn
from llamaberry.nodes.verify import use, verify


class FirstTurnWithProgram(Node):
    """The first turn. With `verify="parallel"` its update has the check, too; the node verify asks for no program."""

    async def arun(self, attempt: Attempt) -> dict[str, Any]:
        """Run one attempt. A retry writes no program: if the first attempt's is lost, verify writes it."""
        if attempt.context.verify != "parallel" or attempt.context.max_turns == 1 or attempt.number > 1:
            return await super().arun(attempt)
        program = asyncio.create_task(_write_program(attempt))
        try:
            update = await super().arun(attempt)
            written = await program
        finally:
            program.cancel()
        if written:
            turns = keep_turns([], update["turns"])  # parsed
            state: State = {**attempt.state, "turns": turns, "check": written["check"]}
            written["check"] = verify.update(attempt._replace(state=state), None)["check"]
            update["calls"] = [*update["calls"], *written.pop("calls")]
        return {**update, **written}


async def _write_program(attempt: Attempt) -> dict[str, Any]:
    """Return the check and its call; nothing if there is no call, or it fails: verify makes it again, with retries."""
    trace = attempt.trace.beside("verify")
    alone = attempt._replace(state={**attempt.state, "turns": [], "check": None}, trace=trace, paid=[], tools=())
    if (messages := verify.prompt(alone)) is None:
        return {}
    try:
        reply = await alone.ask(messages)
    except ModelError:
        return {}
    update = verify.update(alone, await use(reply))
    kept = {key: value for key, value in update.items() if key in ("check", "degraded")}
    return {**kept, "calls": [record_call(alone, reply)]}


first_turn_with_program = FirstTurnWithProgram(first_turn.prompt, first_turn.update)
