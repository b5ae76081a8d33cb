"""What a later prompt adds to its instruction: the question again, and that the previous turn states no answer."""

from llamaberry import Context, graph
from llamaberry.nodes.refine_turn import MAX_REPEATED_QUESTION_CHARS
from testing.scripted_groq import Scripted, ScriptedGroq, first, refine, synthesis

LACKS = "The turn above states no answer under its heading: state one under yours."


def asked(groq: ScriptedGroq) -> list[str]:
    """The last message of each request, after the first turn's."""
    return [request.messages[-1]["content"] for request in groq.requests[1:]]


def test_the_turn_after_one_without_an_answer_is_told_so(scripted: Scripted) -> None:
    """And only that one; what a prompt has said it says again in the next, so that prefix caches hold."""
    groq = scripted(["## Reasoning\n1. Hm.", refine("42"), "Hm.", synthesis("It is 42.", "42")])
    assert graph.invoke({"query": "6 x 7?"}, context=Context(max_turns=3))["concise_answer"] == "42"
    assert [LACKS in message for message in asked(groq)] == [True, False, True]
    for before, after in zip(groq.requests, groq.requests[1:], strict=False):
        assert after.messages[: len(before.messages)] == before.messages


def test_a_long_question_is_not_said_again(scripted: Scripted) -> None:
    for length, again in ((MAX_REPEATED_QUESTION_CHARS, True), (MAX_REPEATED_QUESTION_CHARS + 1, False)):
        groq = scripted([first(), refine(), synthesis()])
        graph.invoke({"query": "?" * length}, context=Context(max_turns=2))
        assert [message.startswith(f"The question was:\n\n{'?' * length}\n\n") for message in asked(groq)] == [
            again
        ] * 2
