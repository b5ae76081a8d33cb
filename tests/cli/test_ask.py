"""The command line, run as a user runs it: as a subprocess, against the scripted Groq."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llamaberry.graph.state import Output
from testing.command import (
    COMMAND,
    CSI,
    LIMIT_S,
    QUESTION,
    llamaberry,
    run_in_terminal,
    running_command,
    signal_during_call,
    usage_error,
    wait_until,
)
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, refine, synthesis

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_ask_prints_a_line_for_each_turn_and_the_answer_last(scripted: Scripted) -> None:
    """The line has the answer before, if this turn changed it."""
    scripted([first("41"), refine("42", "revise"), refine("42"), synthesis("It is 42.", "42")])
    run = llamaberry("ask", QUESTION)
    assert (run.returncode, run.stderr) == (0, "")
    *turns, figures, heading, answer = run.stdout.splitlines()
    lines = [re.sub(r" · [\d.]+ s · [\d,]+ tokens$", "", line) for line in turns]
    assert lines == [
        "turn 1 · 41",
        "check · No program can check this answer.",
        "turn 2 · revise · 41 → 42",
        "turn 3 · keep · 42",
    ]
    assert (heading, answer) == ("── answer ──", "It is 42.")
    assert re.fullmatch(
        r"3 turns · all turns used · groq:openai/gpt-oss-120b · [\d,]+ prompt \([\d,]+ cached\) \+ [\d,]+ output "
        r"tokens · \$0\.0\d+ · [\d.]+ s",
        figures,
    )


def test_verbose_prints_the_turns_as_they_are_written(scripted: Scripted) -> None:
    scripted([first("41"), refine("42", "revise"), synthesis("It is 42.", "42")])
    run = llamaberry("ask", QUESTION, "-v", "--turns", "2")
    heads = re.findall(r"^── (.*) ──$", run.stdout, re.MULTILINE)
    assert heads == ["turn 1", "turn 2", "synthesis", "answer"]
    assert first("41") in run.stdout


def test_a_terminal_shows_what_is_waited_for(scripted: Scripted) -> None:
    """In a line that is gone at the end, so that nothing of it stays above the answer."""
    scripted([Reply(first("42"), delay=0.5)])
    output = run_in_terminal("ask", QUESTION, "--turns", "1")
    assert "turn 1 · groq:openai/gpt-oss-120b · 0 s" in output
    assert "turn 1 · groq:" not in output.rpartition(f"{CSI}2K")[2]


def test_a_dumb_terminal_gets_no_moving_line(scripted: Scripted) -> None:
    scripted([first("42")])
    assert "\x1b" not in run_in_terminal("ask", QUESTION, "--turns", "1", TERM="dumb")


def test_a_terminal_gets_rendered_markdown_and_mathematics(scripted: Scripted) -> None:
    answer = r"The area is **\( 2 \times 3 = \boxed{6} \)** cm."
    scripted([first(answer), first(answer)])
    for words in ([], ["-v"]):
        output = re.sub(r"\x1b\[[\d;]*m", "", run_in_terminal("ask", QUESTION, "--turns", "1", *words))
        assert "The area is 2 × 3 = 6 cm." in output
        assert "\\times" not in output


def test_the_summary_counts_the_tokens_of_every_call(scripted: Scripted) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    cached = usage | {"prompt_tokens_details": {"cached_tokens": 900}}
    scripted([Reply(first(), usage=usage), *(Reply(text, usage=cached) for text in (refine(), refine(), synthesis()))])
    assert (
        "4,000 prompt (2,700 cached) + 40 output tokens · $0.000421"
        in llamaberry("ask", QUESTION, "--verify", "none").stdout
    )


@pytest.mark.parametrize(("show", "answer"), [("full", "It is 42."), ("concise", "42")])
def test_show_full_and_concise_print_one_line_per_turn(scripted: Scripted, show: str, answer: str) -> None:
    scripted([first("41"), refine("42", "revise"), synthesis("It is 42.", "42")])
    run = llamaberry("ask", QUESTION, "--turns", "2", "--show", show, "--verify", "none")
    lines = [re.sub(r"[\d.]+ s|[\d,]+ tokens", "…", line) for line in run.stdout.splitlines()]
    assert lines[:2] == ["turn 1 · 41 · … · …", "turn 2 · revise · 41 → 42 · … · …"]
    assert lines[-2:] == ["── answer ──", answer]


def test_show_concise_prints_the_long_answer_if_need_be(scripted: Scripted) -> None:
    scripted(["Six times seven.", "Still the same.", f"## Comprehensive Answer\n{'It is 42. ' * 100}"])
    run = llamaberry("ask", QUESTION, "--turns", "2", "--show", "concise", "--verify", "none")
    assert "── answer ──\nIt is 42. It is 42." in run.stdout


def test_quiet_prints_only_the_answer(scripted: Scripted) -> None:
    scripted([first(), refine(), refine(), synthesis("It is 42.", "42")])
    run = llamaberry("ask", "--quiet", QUESTION)
    assert (run.returncode, run.stdout, run.stderr) == (0, "It is 42.\n", "")


def test_json_prints_only_one_document(scripted: Scripted) -> None:
    scripted([first("41"), refine("42", "revise"), refine("42"), synthesis("It is 42.", "42")])
    run = llamaberry("ask", "--json", QUESTION)
    state = json.loads(run.stdout)
    output = list(Output.__annotations__)
    assert list(state) == [*output, "run_id"]
    assert [turn["answer"] for turn in state["turns"]] == ["41", "42", "42"]
    assert (state["concise_answer"], state["stop_reason"], run.stderr) == ("42", "max_turns", "")
    assert [(message["type"], message["content"]) for message in state["messages"]] == [
        ("human", QUESTION),
        ("ai", "It is 42."),
    ]


def test_a_dash_reads_the_question_from_standard_input(scripted: Scripted) -> None:
    groq = scripted([first()])
    llamaberry("ask", "-", "--turns", "1", stdin="Two lines\nof question?\n")
    assert groq.requests[0].messages[-1]["content"].startswith("Two lines\nof question?\n")


def test_every_setting_reaches_the_run(scripted: Scripted) -> None:
    groq = scripted([first("42"), refine("**42.**"), synthesis()])
    words = "--model groq:other --turns 5 --early-stop --temperature 0.5 --max-tokens 99 --token-budget 90000"
    words += " --deadline 500 --turn-timeout 20 --system-prompt Think."
    run = llamaberry("ask", "--json", QUESTION, *words.split())
    assert json.loads(run.stdout)["stop_reason"] == "agreement"
    body = groq.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("other", 0.5, 99)
    assert body["messages"][0] == {"role": "system", "content": "Think."}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--token-budget", "1"], "budget"),
        (["--deadline", "0.000001"], "deadline"),
        (["--max-cost-usd", "1e-9"], "budget"),
    ],
)
def test_a_budget_or_a_deadline_stops_refining(scripted: Scripted, words: list[str], reason: str) -> None:
    scripted([first(), synthesis()])
    state = json.loads(llamaberry("ask", "--json", QUESTION, *words).stdout)
    assert (len(state["turns"]), state["stop_reason"], state["answer"]) == (1, reason, "The answer is 42.")


@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_pipe_gets_no_colour_codes(scripted: Scripted, more: dict[str, str]) -> None:
    scripted([first()])
    assert "\x1b" not in llamaberry("ask", QUESTION, "--turns", "1", **more).stdout


def test_a_terminal_gets_colour_unless_no_color_is_set(scripted: Scripted) -> None:
    scripted([first("42"), first("42")])
    assert f"{CSI}1;36m" in run_in_terminal("ask", QUESTION, "--turns", "1")
    assert not re.search(r"\x1b\[[\d;]*3\dm", run_in_terminal("ask", QUESTION, "--turns", "1", NO_COLOR="1"))


def test_escape_codes_in_a_reply_do_not_reach_the_terminal(scripted: Scripted) -> None:
    evil = "4\x1b]0;owned\x07\x1b[2J\x9b31m2\r"
    scripted([first(evil), first(evil)])
    for words in (("ask", QUESTION, "--turns", "1"), ("ask", QUESTION, "--turns", "1", "--show", "full")):
        assert not re.search(r"\x1b\]|\x07|\x1b\[2J|\x9b", run_in_terminal(*words))


def test_ctrl_c_prints_the_answer_so_far_and_exits_with_130(scripted: Scripted) -> None:
    groq = scripted([first("42"), Reply(hang=True)])
    with running_command("ask", QUESTION, "--turn-timeout", "600") as run:  # it would not end before LIMIT_S
        wait_until(lambda: len(groq.requests) == 2)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 130
    assert re.fullmatch(r"llamaberry: `llamaberry resume [\w-]+` continues from here\n", err)
    assert "\n1 turn · interrupted · " in out
    assert out.endswith("── the answer so far ──\n42\n")


def test_ctrl_c_in_json_mode_still_prints_one_document(scripted: Scripted) -> None:
    groq = scripted([first("42"), Reply(hang=True)])
    out, _ = signal_during_call(groq, 2, "ask", "--json", QUESTION, by=signal.SIGINT)
    assert json.loads(out)["turns"][0]["answer"] == "42"


def test_a_user_error_names_the_remedy_and_exits_with_2(groq: object) -> None:
    assert "--turns 99" in usage_error("ask", QUESTION, "--turns", "99")
    assert "--turns 0" in usage_error("ask", QUESTION, "--turns", "0")
    assert "--max-tokens 3" in usage_error("ask", QUESTION, "--max-tokens", "3")
    assert "blank" in usage_error("ask", " ")
    assert "200,000" in usage_error("ask", "-", stdin="x" * 200_001)
    assert "--bad" in usage_error("ask", "--bad", QUESTION)
    assert "'turns', 'full', 'concise'" in usage_error("ask", QUESTION, "--show", "all")
    assert "'nobody'" in usage_error("ask", QUESTION, "--model", "nobody:model")
    assert "pip install langchain-anthropic" in usage_error("ask", QUESTION, "--model", "anthropic:claude")
    assert "GROQ_API_KEY" in usage_error("ask", QUESTION, "--model", "groq:any", GROQ_API_KEY="")
    both = usage_error("ask", QUESTION, GROQ_API_KEY="")
    assert "GROQ_API_KEY" in both
    assert "llamaberry model pull" in both or 'pip install "llamaberry[local]"' in both


def test_without_a_command_the_help_has_examples() -> None:
    run = llamaberry()
    assert (run.returncode, run.stderr) == (0, "")
    assert 'llamaberry ask "What is 17 * 23?"' in run.stdout


def test_a_question_without_a_command_says_what_to_type() -> None:
    assert '`llamaberry ask "…"` asks a question' in usage_error("What is 6 times 7?")
    assert "before a question that starts with a minus, write --" in usage_error("ask", "-5 plus 3")


@pytest.mark.parametrize(("status", "code"), [(400, 1), (401, 2), (403, 2), (404, 2), (413, 1)])
def test_a_provider_failure_is_one_line(scripted: Scripted, status: int, code: int) -> None:
    """A refused key and an unknown model are the user's to correct: they exit with 2."""
    scripted([Reply(status=status, error="Not like this")])
    run = llamaberry("ask", QUESTION)
    assert (run.returncode, run.stderr.count("\n")) == (code, 1)
    assert f"answered {status}" in run.stderr
    assert "Not like this" in run.stderr


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\tb", "a\x1bb"])
def test_a_thread_name_that_no_list_could_show_is_refused(groq: ScriptedGroq, name: str) -> None:
    assert "--thread" in usage_error("ask", QUESTION, "--thread", name)
    assert groq.requests == []


def test_a_closed_pipe_is_not_an_error(scripted: Scripted) -> None:
    scripted([first(), refine(), refine(), synthesis()])
    line = " ".join(f"'{word}'" for word in [*COMMAND, "ask", "-v", QUESTION])
    line = f"{line} | head -n 1; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("── turn 1 ──\n", "", 0)


def test_version_loads_neither_langgraph_nor_pydantic() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"llamaberry \d+\.\d+\.\d+\n", run.stdout)
    assert not re.search("langgraph|langchain|pydantic", run.stderr)


def test_graph_prints_mermaid_or_draws_a_png(tmp_path: Path) -> None:
    assert "first_turn -.-> refine_turn" in llamaberry("graph").stdout
    picture = tmp_path / "graph.png"
    pytest.importorskip("pygraphviz")
    assert llamaberry("graph", "--png", str(picture)).returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "cannot be written" in usage_error("graph", "--png", str(tmp_path / "no" / "graph.png"))


def test_model_prints_how_to_download_the_model() -> None:
    run = llamaberry("model")
    assert run.returncode == 0
    assert "Qwen2.5-Coder-1.5B-Instruct" in run.stdout
    assert "llamaberry model pull" in run.stdout
