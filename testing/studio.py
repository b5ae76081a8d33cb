"""Studio's requests to the server."""

from typing import Any, NamedTuple, cast

from langgraph_sdk.client import SyncLangGraphClient

from testing.scripted_groq import ScriptedGroq

INPUT = {"query": "What is 6 x 7?"}
TWO_TURNS = {"max_turns": 2}


class Studio(NamedTuple):
    """A client of a server, with a thread of its own, and the scripted Groq behind the server."""

    client: SyncLangGraphClient
    groq: ScriptedGroq
    thread: str
    assistant: str
    address: str

    def run(self, **options: Any) -> Any:
        """Run on the thread to the end, by default with two turns."""
        return self.client.runs.wait(self.thread, self.assistant, **{"input": None, "context": TWO_TURNS, **options})

    def state_before(self, *nodes: str, turns: int | None = None) -> Any:
        """Return the newest state of the thread in which `nodes` are next."""
        for state in self.client.threads.get_history(self.thread, limit=50):
            if state["next"] == list(nodes) and turns in (
                None,
                len(cast("dict[str, Any]", state["values"]).get("turns", [])),
            ):
                return state
        raise LookupError(nodes)

    def sent_turns(self) -> list[str]:
        """Return the turns in the last prompt."""
        return [m["content"] for m in self.groq.requests[-1].messages if m["role"] == "assistant"]
