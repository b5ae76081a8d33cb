"""Models whose reasoning uses up max_tokens before they write a word."""

import pytest

from llamaberry import ModelError, graph
from testing.scripted_groq import Reply, Scripted, first, refine, synthesis

THOUGHT_UP = [Reply("", reasoning="Well …", finish_reason="length"), Reply("<think>Well", finish_reason="length")]


@pytest.mark.parametrize("empty", THOUGHT_UP, ids=["beside the text", "in the text"])
def test_a_model_that_thinks_too_long_gets_more_tokens(scripted: Scripted, empty: Reply) -> None:
    groq = scripted([empty, first(), empty, refine(), synthesis()])
    result = graph.invoke({"query": "6 x 7?"}, context={"max_turns": 2, "max_tokens": 100, "verify": "none"})
    assert [request.body["max_tokens"] for request in groq.requests] == [100, 200, 100, 200, 100]
    assert [turn["text"] for turn in result["turns"]] == [first(), refine()]
    thoughts = (empty.reasoning or empty.text).split()
    assert result["turns"][0]["usage"]["output_tokens"] == len(thoughts) + len(first().split())
    assert result["degraded"] is None


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (THOUGHT_UP[0], r"max_tokens \(100\) before it wrote a word, and 200 tokens did not suffice .*--max-tokens"),
        (Reply(status=413), r"max_tokens \(100\) before it wrote a word, and 200 were refused: .* answered 413"),
    ],
)
def test_a_model_that_thinks_too_long_fails_in_words(scripted: Scripted, second: Reply, message: str) -> None:
    groq = scripted([THOUGHT_UP[0], second])
    with pytest.raises(ModelError, match=message):
        graph.invoke({"query": "6 x 7?"}, context={"max_tokens": 100})
    assert len(groq.requests) == 2
