"""Named settings: assistants of a server, and models of the OpenAI-compatible API."""

from llamaberry.graph.context import Context

PRESETS: dict[str, Context] = {
    "standard": Context(),
    "quick": Context(max_turns=1),
    "careful": Context(max_turns=5, early_stop=True),
}
