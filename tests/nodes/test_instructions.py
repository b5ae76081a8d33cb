"""Instructions of the user's own, in place of a step's."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llamaberry import Context, graph
from llamaberry.cli.options import context_options
from llamaberry.graph.context import MAX_INSTRUCTION_CHARS, STEPS
from llamaberry.graph.errors import SetupError
from llamaberry.nodes import first_turn, refine_turn, synthesize
from testing.scripted_groq import Scripted, first, program, refine, synthesis

QUESTION = {"query": "What is 6 x 7?"}
OWN = {step: f"Do {step} as {{a}} {{output}} 100% {{" for step in STEPS}


def test_each_step_has_its_own_instruction(scripted: Scripted) -> None:
    """Braces in it are text; the built-in instructions are gone."""
    groq = scripted([first("41"), refine("41"), synthesis("It is 41.", "41")])
    result = graph.invoke(QUESTION, context=Context(max_turns=2, instructions=OWN))
    assert result["answer"] == "It is 41."
    texts = [request.messages[-1]["content"] for request in [*groq.requests, *groq.program_requests]]
    assert [text.rpartition("\n\n")[2] for text in texts] == [
        OWN[step] for step in ("first_turn", "refine_turn", "synthesize", "verify")
    ]
    prompts = str([message["content"] for request in groq.requests for message in request.messages])
    assert not any(ask[:40] in prompts for ask in (first_turn.ASK, refine_turn.ASK, synthesize.ASK))


def test_an_instruction_follows_the_programs_output(scripted: Scripted) -> None:
    groq = scripted([first("41"), refine("41"), synthesis()], [program("print({6 * 7: 8 * 9})"), program()])
    graph.invoke(QUESTION, context=Context(max_turns=2, instructions=OWN))
    conversation = [message["content"] for message in groq.requests[1].messages]
    assert conversation[-1] == f"Your program ran and printed:\n\n```\n{{42: 72}}\n```\n\n{OWN['refine_turn']}"
    assert conversation[1] == f"What is 6 x 7?\n\n{OWN['verify']}"


def test_braces_in_a_programs_output_are_text(scripted: Scripted) -> None:
    """Also where the output stands, and the synthesis is asked to take it over."""
    groq = scripted(
        [first("{1, 2}"), first("{1, 4}"), synthesis("It is {1, 3}.", "{1, 3}")], [program("print({1, 6 // 2})")]
    )
    result = graph.invoke({"query": "Which numbers?"}, context=Context(max_turns=2))
    assert "{1, 3}" in result["concise_answer"], groq.requests[-1].messages


def test_a_reply_without_the_headings_is_degraded(scripted: Scripted) -> None:
    scripted(["Forty-two.", "Still forty-two.", "I say 42."])
    context = Context(max_turns=2, instructions={"first_turn": "Answer in a word.", "refine_turn": "Look again."})
    result = graph.invoke(QUESTION, context=context)
    assert [(turn["answer"], turn["verdict"]) for turn in result["turns"]] == [(None, None)] * 2
    assert result["answer"] == "I say 42."
    assert result["degraded"].startswith("The synthesis states no concise answer")


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        ({"first": "A"}, "'first_turn', 'verify', 'refine_turn' or 'synthesize'"),
        ({"verify": " "}, "at least 1 character"),
        ({"verify": "x" * (MAX_INSTRUCTION_CHARS + 1)}, "at most 20000 characters"),
    ],
)
def test_a_wrong_instruction_is_an_error(instructions: dict[Any, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Context(instructions=instructions)


def test_a_context_with_instructions_can_be_a_key() -> None:
    assert len({Context(), Context(), Context(instructions=OWN), Context(instructions=OWN)}) == 2


def test_the_form_shows_each_instruction_at_its_node() -> None:
    field = graph.get_context_jsonschema()["properties"]["instructions"]
    assert field["langgraph_nodes"] == list(STEPS)
    assert {step: prompt["langgraph_nodes"] for step, prompt in field["properties"].items()} == {
        step: [step] for step in STEPS
    }


def read(*words: str) -> Any:
    """Return the instructions that a command with these options gets."""
    import typer

    results: list[Any] = []

    @context_options()
    def command(settings: dict[str, Any]) -> int:
        results.append(Context(**settings).instructions)
        return 0

    app = typer.Typer()
    app.command()(command)
    app([word for text in words for word in ("--instruction", text)], standalone_mode=False)
    return results[0]


def test_the_command_line_reads_a_text_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "ask.txt").write_text("Look again.\n## Answer\n", encoding="utf-8")
    assert read("first_turn=a = b", f"refine_turn=@{tmp_path}/ask.txt") == {
        "first_turn": "a = b",
        "refine_turn": "Look again.\n## Answer",
    }
    assert read() == {}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("verify", "--instruction 'verify' has no =: write STEP=TEXT"),
        ("verify=@nowhere.txt", r"nowhere.txt cannot be read \(No such file"),
        ("check=A", "--instruction check: it should be 'first_turn', "),
    ],
)
def test_a_wrong_option_is_an_error(word: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        read(word)
