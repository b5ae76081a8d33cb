"""The name of the option for each field of Context."""

from llamaberry.graph.context import Context

_OPTION_NAMES = {
    "model": ("--model", "-m"),
    "max_turns": ("--turns", "-t"),
    "instructions": ("--instruction",),
    "answer_schema": ("--schema",),
}


def option_names(field: str) -> tuple[str, ...]:
    """Return the names of the option for a field of Context; the first is for messages."""
    return _OPTION_NAMES.get(field) or (f"--{field.removesuffix('_s').replace('_', '-')}",)


OPTIONS = {field: option_names(field)[0] for field in Context.model_fields}
"""The option of each field of Context, for error messages."""
