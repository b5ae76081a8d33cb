"""What a reply says, without thoughts, channels and special tokens, in the notations of many models."""

import pytest

from llamaberry.graph.reply import parse_synthesis, parse_turn
from llamaberry.graph.thoughts import without_thoughts

FORM = "## Reasoning\n1. a\n\n## Answer\n42"
ANALYSIS = "<|channel|>analysis<|message|>## Answer\n41"
FINAL = "<|start|>assistant<|channel|>final"
TOOL_CALL = "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>[1]<|call|>"
TAGS = ["think", "thinking", "thought", "thoughts", "Thought", "reasoning", "reflection", "scratchpad", "seed:think"]
THOUGHTS = [
    *("[THINK]41[/THINK]{}", "◁think▷41◁/think▷{}", "<unused94>thought\n41<unused95>{}"),
    "<|begin_of_thought|>41<|end_of_thought|>\n\n<|begin_of_solution|>{}<|end_of_solution|>",
    "<|START_THINKING|>41<|END_THINKING|><|START_RESPONSE|>{}<|END_RESPONSE|>",
]
CHANNELS = [
    f"{ANALYSIS}<|end|>{FINAL}<|message|>{{}}<|return|>",
    f"<|start|>assistant{ANALYSIS}<|end|>{FINAL}<|message|>{{}}",
    f"{ANALYSIS}<|end|>\n{FINAL} <|constrain|>markdown<|message|>{{}}<|return|>",
    f"{ANALYSIS}<|end|>{TOOL_CALL}{FINAL}<|message|>{{}}<|end|>",
    "<|channel|>final<|message|>{}",
    f"analysis<|message|>41<|end|>{FINAL}<|message|>{{}}",
    "analysisWe need 41.assistantfinal{}",
]
TOKENS = [
    *("{}<|im_end|>", "{}<|eot_id|>", "{}</s>", "{}<end_of_turn>", "{} <|endoftext|>\n", "{}<｜end▁of▁sentence｜>"),
    *("<|im_start|>assistant\n{}<|im_end|>", "<s>{}</s>", "<start_of_turn>model\n{}<end_of_turn>"),
]
NEXT_ROLES = [
    "{}<|im_end|>\n<|im_start|>user\n## Answer\n41",
    "{}<|eot_id|><|start_header_id|>user<|end_header_id|>\n41",
    *("{}\n<|user|>\n## Answer\n41", "{}\n[INST] ## Answer\n41 [/INST]"),
]


@pytest.mark.parametrize("tag", TAGS)
def test_thoughts_are_removed_whatever_their_tag(tag: str) -> None:
    thought = f"<{tag}>\n## Answer\n41\n</{tag}>"
    for reply in (f"{thought}\n{FORM}", f"{FORM}\n{thought}{thought}", f"41\n</{tag}>\n{FORM}", f"{FORM}\n<{tag}>\n41"):
        assert without_thoughts(reply) == FORM


@pytest.mark.parametrize("reply", THOUGHTS + CHANNELS + TOKENS + NEXT_ROLES)
def test_only_the_spoken_part_of_a_reply_is_kept(reply: str) -> None:
    assert without_thoughts(reply.format(FORM)) == FORM
    synthesis = "## Comprehensive Answer\nIt is 42.\n\n## Concise Answer\n42"
    assert parse_synthesis(reply.format(synthesis)) == parse_synthesis(synthesis)


@pytest.mark.parametrize("reply", [ANALYSIS, f"{ANALYSIS}<|end|>", "analysisWe need 41", "<thought>41", "<|im_end|>"])
def test_a_reply_of_thoughts_alone_is_empty(reply: str) -> None:
    assert without_thoughts(reply) == ""


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ChatML ends a message with `<|im_end|>`.",
            "```\n<|im_start|>user\nhi<|im_end|>\n```",
            "Not <s>41</s>",
        ),
        *("The `<|channel|>final<|message|>` header", "analysis of assistantfinal", "x[0] [INSTALL]", "a < b > c"),
    ],
)
def test_tokens_that_the_reply_is_about_stay(text: str) -> None:
    assert without_thoughts(text) == text


@pytest.mark.parametrize("reply", [*THOUGHTS, *CHANNELS, *TOKENS, *NEXT_ROLES, "a\n<think>x</think></think>"])
def test_removing_thoughts_again_changes_nothing(reply: str) -> None:
    spoken = without_thoughts(reply.format("<|im_end|><think>a</think>\n<|im_start|>b</think>`c"))
    assert without_thoughts(spoken) == spoken


@pytest.mark.parametrize(
    ("reply", "text"),
    [("<think>a</think>b", "b"), (" <think>a\n\nb</think>\n\nb", "b"), ("<think>## Answer\n41", "")]
    + [("<think>a</think><think>b</think>b", "b"), ("a\n<think>x</think>\nb", "a\nb"), ("a\n<think>x\ny", "a")]
    + [("a\n<think>x</think><think>y</think>\nb", "a\nb"), ("hm\n</think>\nb", "b"), ("b", "b"), ("", "")]
    + [(code, code) for code in ("Use `<think>` here.", "`</think>` ends it.", "As `<think>a</think>`.", "`a</think>`")]
    + [(f"a\n{f}\n{x}\n{f}\nb",) * 2 for f in ("```", "~~~") for x in ("<think>", "<think>x</think>", "x</think>")],
)  # fmt: skip
def test_thoughts_are_removed_unless_they_are_code(reply: str, text: str) -> None:
    assert without_thoughts(reply) == text
    assert parse_turn(reply, first=True).text == text
    assert parse_synthesis(reply).text == text


def test_a_removed_thought_leaves_no_gap() -> None:
    assert len(without_thoughts("a\n<think>\n" + "x\n" * 500 + "</think>\nb")) < 10
