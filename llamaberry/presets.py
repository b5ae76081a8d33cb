"""The ways to think that have a name: for assistants on a server, and for models of the OpenAI door."""

from llamaberry.graph.context import Context

PRESETS: dict[str, Context] = {
    "standard": Context(),
    "quick": Context(max_turns=1),
    "careful": Context(max_turns=5, early_stop=True),
}
