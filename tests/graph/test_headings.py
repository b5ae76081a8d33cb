"""Headings as models decorate them: numbers, emoji, bullets, underlines, and a fence around the whole reply."""

import pytest

from llamaberry.graph.reply import parse_synthesis, parse_turn

SYNTHESIS = "## Analysis of Turns\na\n## Comparison\nb\n## Comprehensive Answer\nd\n{}## Concise Answer\ne"
HEADINGS = [
    *("## 4. Answer", "## 4) Answer", "## (4) Answer", "## 4 - Answer", "## IV. Answer", "## Step 4: Answer"),
    *("### 4. **Answer**", "## **4. Answer**", "## **4.** Answer", "**4. Answer**", "4. **Answer**", "4. **Answer:**"),
    *("## 4️⃣ Answer", "**4️⃣ Answer**", "## 🎯 4. Answer", "Step 4: Answer:", "## Answer ✅", "**Answer** ✅"),
    *("## ✅ Answer", "## ✅ **Answer**", "✅ **Answer:**", "**✅ Answer**", "## ✅ Answer: ", "**Answer ✅**"),
    *("- **Answer:**", "* **Answer**", "• Answer:", "- ## Answer", "> ## Answer", "> **Answer:**", "【Answer】:"),
    *("## [Answer]", "## 【Answer】", "== Answer ==", "=== Answer ===", "<h2>Answer</h2>", "## Answer ##"),
    *("Answer\n======", "Answer\n------", "**Answer**\n---", "## Answer\n---"),
]
STEPS = ["### 1. Review the facts", "### 1. Review", "1. **Review:** all is given.", "### Step 1: Review"]
FORMS = [
    "## {}. {}",
    "## ✅ {1}",
    "**{}. {}**",
    "- **{1}:**",
    "## Step {}: {}",
    "{}. **{}**",
    "> ## {1}",
    "### **{}.** {}",
]


@pytest.mark.parametrize("heading", HEADINGS)
def test_an_answer_is_read_under_a_decorated_heading(heading: str) -> None:
    reasoning = heading.replace("Answer", "Reasoning").replace("4", "3")
    text = f"{reasoning}\nSix times seven.\n\n{heading}\n42"
    assert parse_turn(text, first=True).answer == "42"
    assert parse_turn(f"## Review\nok\n\n## Verdict\nkeep\n\n{text}", first=False).answer == "42"


@pytest.mark.parametrize("form", FORMS)
def test_a_decorated_refine_turn_is_read_completely(form: str) -> None:
    parts = {"Review": "Tried it.", "Verdict": "revise", "Reasoning": "1. a\n2. b", "Answer": "42"}
    text = "\n\n".join(f"{form.format(n, name)}\n{body}" for n, (name, body) in enumerate(parts.items(), 1))
    turn = parse_turn(text, first=False)
    assert (turn.verdict, turn.answer, len(turn.steps)) == ("revise", "42", 2)


@pytest.mark.parametrize("form", FORMS)
def test_a_decorated_synthesis_is_read(form: str) -> None:
    names = ("Analysis of Turns", "Comparison", "Final Reasoning", "Comprehensive Answer", "Concise Answer")
    text = "\n\n".join(f"{form.format(n, name)}\n{name[:3]}" for n, name in enumerate(names, 1))
    assert parse_synthesis(text)[1:] == ("Com", "Con")


@pytest.mark.parametrize("step", STEPS)
def test_a_step_named_like_a_heading_stays_a_step(step: str) -> None:
    turn = parse_turn(f"## Reasoning\n{step}\n2. b\n\n## Answer\n42", first=True)
    assert (len(turn.steps), turn.answer) == (2, "42")


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
@pytest.mark.parametrize("language", ["markdown", "md", "Markdown", "", "text"])
@pytest.mark.parametrize("code", ["", "```python\nprint(42)\n```\n"])
def test_a_reply_in_a_fence_is_read(fence: str, language: str, code: str) -> None:
    form = f"## Reasoning\n1. a\n{code}\n## Answer\n42"
    turn = parse_turn(f"{fence}{language}\n{form}\n{fence}", first=True)
    assert turn == parse_turn(form, first=True)
    assert turn.answer == "42"
    synthesis = SYNTHESIS.format(code)
    assert parse_synthesis(f"{fence}{language}\n{synthesis}\n{fence}") == parse_synthesis(synthesis)


@pytest.mark.parametrize(
    ("around", "more"), [("Here it is:\n{}", ""), ("{}\nI hope it helps!", "\n\nI hope it helps!")]
)
def test_a_marked_fence_is_read_with_text_around_it(around: str, more: str) -> None:
    reply = around.format("```markdown\n## Answer\n42\n\n```")
    assert parse_turn(reply, first=True).answer == f"42{more}"


def test_a_fence_below_a_heading_is_the_answer() -> None:
    answer = "```markdown\n## Answer\nWrite it here.\n```"
    assert parse_turn(f"## Answer\n{answer}", first=True).answer == answer


@pytest.mark.parametrize("first", [True, False])
def test_a_field_of_dspys_is_part_of_the_answer(first: bool) -> None:
    fields = "[[ ## reasoning ## ]]\nSix sevens.\n\n[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"
    assert parse_turn(f"## Reasoning\n1. a\n\n## Answer\n{fields}", first=first).answer == fields
