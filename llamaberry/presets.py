"""Ready-made settings of a run, by name."""

from llamaberry.graph.context import Context

PRESETS: dict[str, Context] = {
    "quick": Context(max_turns=1),
    "standard": Context(),
    "careful": Context(max_turns=5, early_stop=True),
}
