"""The ids of checkpoints, which order them: a thread's newest checkpoint is the one with the highest id."""

from langgraph.checkpoint.base import id as checkpoint_ids
from langgraph.types import StateSnapshot

from llamaberry.graph.errors import SetupError

_LAST_TIME = "_last_v6_timestamp"
_TICKS_PER_S = 10_000_000  # the unit of an id's time


def keep_ids_above(state: StateSnapshot) -> None:
    """Make the ids of this process's next checkpoints higher than the id of this one, the newest of its thread.

    Ids are made from the time. After the clock was set back, or on another host whose clock is behind, they would be
    lower than the thread's newest, and what they name would never be read again.

    Raises:
        SetupError: that is impossible; the message says by how much the clock is behind.
    """
    newest = str(state.config["configurable"].get("checkpoint_id") or "")
    if (next_id := str(checkpoint_ids.uuid6())) > newest:
        return
    # LangGraph makes each id of a process later than the one before it, and offers no other way to raise them.
    generator = vars(checkpoint_ids)
    before, generator[_LAST_TIME] = generator[_LAST_TIME], _ticks(newest)
    if str(checkpoint_ids.uuid6()) <= newest:
        generator[_LAST_TIME] = before
        seconds = (_ticks(newest) - _ticks(next_id)) / _TICKS_PER_S
        clock = f", for which the clock is {seconds:,.0f} s behind" if seconds > 0 else ""
        raise SetupError(
            f"a further answer on thread {state.config['configurable']['thread_id']!r} would be lost, because its "
            f"newest checkpoint has the id {newest}{clock}: use another thread"
        )


def _ticks(checkpoint_id: str) -> int:
    """Return the time of an id; 0 if it is not a UUID, and so not made by LangGraph."""
    try:
        return checkpoint_ids.UUID(checkpoint_id).time
    except ValueError:
        return 0
