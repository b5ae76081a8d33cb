"""Options generated from Context's fields, and what starting the command line loads."""

import re
import subprocess
import sys
from typing import Any, Literal

import pytest
import typer

from llamaberry import Context
from llamaberry.cli.options import context_options, option_names

WITH_SETTINGS = ("ask", "resume", "compare", "eval", "batch")
NEW_FIELDS = """
from typing import Literal
from pydantic import Field
from llamaberry.graph import context

class Extended(context.Context):
    proof: Literal["program", "none"] = Field(default="program", description="How answers are checked.")
    refine_model: str | None = Field(default=None, description="Model of the refine turns.")

context.Context = Extended
from llamaberry.cli.main import main
main()
"""


class Extended(Context):
    """A Context with settings that the command line does not know."""

    proof: Literal["program", "none"] = "program"
    refine_model: str | None = None
    ratio_s: float = 0.5
    strict: bool = False


def settings_of(*words: str) -> dict[str, Any]:
    """Run a command with generated options, and return the settings that it gets."""
    results: list[dict[str, Any]] = []

    @context_options(context=Extended, exclude=("model",))
    def command(question: str, settings: dict[str, Any]) -> int:
        results.append(settings)
        return 0

    app = typer.Typer()
    app.command()(command)
    app(["Q", *words], standalone_mode=False)
    return results[0]


def help_of(command: str, code: str = "from llamaberry.cli.main import main; main()") -> str:
    words = [command, "--help"] if command else ["--help"]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return " ".join(run.stdout.split())


def test_a_new_field_becomes_an_option() -> None:
    words = ["--proof", "none", "--refine-model", "groq:x", "--ratio", "0.25", "--no-strict", "-t", "5"]
    settings = {"proof": "none", "refine_model": "groq:x", "ratio_s": 0.25, "strict": False, "max_turns": 5}
    assert settings_of(*words) == settings


def test_settings_that_are_not_given_are_left_out() -> None:
    assert settings_of() == {}


@pytest.mark.parametrize("words", [["--proof", "maybe"], ["--model", "x"], ["--review", "each_turn"]])
def test_other_values_and_excluded_fields_are_refused(words: list[str]) -> None:
    with pytest.raises(typer.TyperException):
        settings_of(*words)


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_a_new_field_becomes_an_option_of_every_command(command: str) -> None:
    text = help_of(command, NEW_FIELDS)
    assert "--proof <program|none> How answers are checked. [default: program]" in text
    assert "--refine-model <str> Model of the refine turns." in text


OF_ARMS = {"max_turns", "early_stop", "verify", "second_turn", "token_budget", "max_cost_usd", "deadline_s"}
"""Set by the names of an evaluation's arms."""


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_help_has_each_fields_description_default_and_bounds(command: str) -> None:
    text = re.sub(r"(?<=\w)- ", "-", help_of(command))
    excluded = {"review"} | (OF_ARMS if command == "eval" else set())
    excluded |= {"answer_schema"} if command in ("compare", "eval") else set()
    for name, field in Context.model_fields.items():
        assert (option_names(name)[0] in text and str(field.description) in text) is (name not in excluded), name
    assert "[default: 2048; at least 64, at most 65536]" in text


@pytest.mark.parametrize("command", ["", *WITH_SETTINGS, "history", "forget", "show", "traces", "graph", "model"])
def test_help_does_not_load_langgraph(command: str) -> None:
    code = "import atexit, sys; atexit.register(lambda: print('LangGraph is loaded:', 'langgraph' in sys.modules))\n"
    assert "LangGraph is loaded: False" in help_of(command, f"{code}from llamaberry.cli.main import main; main()")


def test_batch_in_python_does_not_load_typer() -> None:
    code = "import sys, llamaberry.batch; sys.exit('typer' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
