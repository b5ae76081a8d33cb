"""What a person does in Studio, through the server's API."""

from typing import Any, NamedTuple

from langgraph_sdk.client import SyncLangGraphClient

from testing.scripted_groq import ScriptedGroq

ASKED = {"query": "What is 6 x 7?"}
TWO = {"max_turns": 2}


class Studio(NamedTuple):
    """What a person at Studio has: the server, a model behind it, and a thread."""

    client: SyncLangGraphClient
    groq: ScriptedGroq
    thread: str
    assistant: str
    address: str

    def run(self, **how: Any) -> Any:
        """Run on the thread to the end, with two turns unless told otherwise."""
        return self.client.runs.wait(self.thread, self.assistant, **{"input": None, "context": TWO, **how})

    def before(self, *nodes: str, turns: int | None = None) -> Any:
        """Return the newest state of the thread from which `nodes` are next."""
        for state in self.client.threads.get_history(self.thread, limit=50):
            if state["next"] == list(nodes) and turns in (None, len(state["values"].get("turns", []))):
                return state
        raise LookupError(nodes)

    def sent(self) -> list[str]:
        """Return the turns that stand in the last prompt that Groq was sent."""
        return [m["content"] for m in self.groq.requests[-1].messages if m["role"] == "assistant"]
