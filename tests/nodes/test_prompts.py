"""The instructions of later turns: the question again, and what the turn before lacks."""

from llamaberry import Context, graph
from llamaberry.nodes.refine_turn import MAX_REPEATED_QUESTION_CHARS
from testing.scripted_groq import Scripted, ScriptedGroq, first, refine, synthesis

LACKS = "The turn above states no answer under its heading: state one under yours."


def instructions(groq: ScriptedGroq) -> list[str]:
    """Return the last message of each request after the first turn's."""
    return [request.messages[-1]["content"] for request in groq.requests[1:]]


def test_a_turn_without_an_answer_is_named_in_the_next_prompt(scripted: Scripted) -> None:
    """Later prompts repeat it unchanged, so that a provider's prefix cache applies."""
    groq = scripted(["## Reasoning\n1. Hm.", refine("42"), "Hm.", synthesis("It is 42.", "42")])
    assert graph.invoke({"query": "6 x 7?"}, context=Context(max_turns=3))["concise_answer"] == "42"
    assert [LACKS in message for message in instructions(groq)] == [True, False, True]
    for before, after in zip(groq.requests, groq.requests[1:], strict=False):
        assert after.messages[: len(before.messages)] == before.messages


def test_a_long_question_is_not_repeated(scripted: Scripted) -> None:
    for length, again in ((MAX_REPEATED_QUESTION_CHARS, True), (MAX_REPEATED_QUESTION_CHARS + 1, False)):
        groq = scripted([first(), refine(), synthesis()])
        graph.invoke({"query": "?" * length}, context=Context(max_turns=2))
        assert [message.startswith(f"The question was:\n\n{'?' * length}\n\n") for message in instructions(groq)] == [
            again
        ] * 2
