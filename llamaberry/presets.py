"""Named settings: assistants of a server, and models of the OpenAI-compatible API."""

from typing import NamedTuple

from llamaberry.graph.context import Context


class Preset(NamedTuple):
    """Settings under a name, with a sentence that says how they differ."""

    description: str
    context: Context


PRESETS = {
    "standard": Preset(
        "Answers, checks the answer by a program where one can compute it, and reviews it in up to three turns.",
        Context(),
    ),
    "quick": Preset(
        "Answers in one turn, without a check: one model call.",
        Context(max_turns=1, verify="none"),
    ),
    "careful": Preset(
        "Answers in up to five turns, until a program or an independent second answer confirms an answer.",
        Context(max_turns=5, early_stop=True, second_turn="independent"),
    ),
}
