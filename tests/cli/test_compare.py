"""`llamaberry compare`: a single turn and several side by side."""

import json
import re
from pathlib import Path

import pytest

from llamaberry.graph.state import Output
from testing.collector import Collector, metadata
from testing.command import QUESTION, llamaberry, run_in_terminal, running_command, usage_error, wait_until
from testing.compare import ModelByKind, request_kind, request_kinds, run_compare
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, refine, synthesis

HANG = Reply(hang=True)


def test_compare_prints_both_runs_and_their_difference(scripted: Scripted) -> None:
    scripted(ModelByKind())
    run = llamaberry("compare", QUESTION, "--turns", "2", "--verify", "none")
    assert (run.returncode, run.stderr) == (0, "")
    figures = "… s · 1,000 prompt (0 cached) + 10 output tokens · $0.000156"
    output = re.sub(r"[\d.]+ times the seconds", "… times the seconds", re.sub(r"[\d.]+ s\b", "… s", run.stdout))
    assert output.split("\n") == [
        QUESTION,
        "",
        "single",
        f"└── turn 1 · {figures}",
        "    ├── 1. Read the question.",
        "    ├── 2. Work it out.",
        "    └── It is 41",
        "",
        "It is 41",
        "",
        f"1 turn · all turns used · groq:openai/gpt-oss-120b · {figures.removeprefix('… s · ')} · … s",
        "",
        "turns:2",
        f"├── turn 1 · {figures}",
        "│   ├── 1. Read the question.",
        "│   ├── 2. Work it out.",
        "│   └── It is 41",
        f"├── turn 2 · revise · {figures} · the answer changed",
        "│   ├── 1. Read the question.",
        "│   ├── 2. Work it out.",
        "│   └── It is [-41-] {+42+}",
        f"└── synthesis · {figures}",
        "    └── [-It is-] 42",
        "",
        "42",
        "",
        "Six times seven is 42.",
        "",
        "2 turns · all turns used · groq:openai/gpt-oss-120b · 3,000 prompt (0 cached) + 30 output tokens · $0.000468 "
        "· … s",
        "",
        "the answers differ: It is 41 / 42 · turns:2 took 3.0 times the tokens, 3.0 times the cost and … times the "
        "seconds",
        "",
    ]


def test_compared_runs_are_independent_and_concurrent(scripted: Scripted) -> None:
    groq = scripted(ModelByKind(first=HANG))
    with running_command("compare", QUESTION) as run:
        wait_until(lambda: len(groq.requests) == 2)  # the second run starts while the first one waits
        run.kill()
    groq.play(ModelByKind())
    run_compare()
    assert request_kinds(groq) == ["first", "first", "refine", "refine", "synthesis"]
    one, other = (request.messages for request in groq.requests if request_kind(request) == "first")
    assert one == other
    assert QUESTION in one[-1]["content"]


def test_a_shared_first_turn_is_one_call(scripted: Scripted) -> None:
    groq = scripted(ModelByKind())
    run = llamaberry("compare", QUESTION, "--shared-first", "--turns", "2", "--verify", "none")
    assert [request_kind(request) for request in groq.requests] == ["first", "refine", "synthesis"]
    first_turn, refine_turn, _ = (request.messages for request in groq.requests)
    assert refine_turn[:-1] == [*first_turn, {"role": "assistant", "content": first("It is 41")}]
    assert run.stdout.count("1. Read the question.") == 3
    assert [line for line in run.stdout.split("\n") if line.endswith("· shared")] == [
        line for line in run.stdout.split("\n") if line.startswith("├── turn 1")
    ]
    assert "turns:2 took 3.0 times the tokens" in run.stdout
    assert run.stdout.endswith("· the first turn is shared, and counted in both\n")


def test_a_shared_first_turn_counts_against_the_budget(scripted: Scripted) -> None:
    groq = scripted(ModelByKind())
    document = run_compare("--shared-first", "--token-budget", "1010")
    assert request_kinds(groq) == ["first", "synthesis"]
    assert document["turns:3"]["stop_reason"] == "budget"


def test_compare_json_is_one_document_with_both_costs(scripted: Scripted) -> None:
    scripted(ModelByKind())
    document = run_compare("--shared-first", "--turns", "2", "--verify", "none")
    assert list(document) == ["question", "shared_first", "agree", "single", "turns:2"]
    assert (document["question"], document["shared_first"], document["agree"]) == (QUESTION, True, False)
    single, several = document["single"], document["turns:2"]
    output = list(Output.__annotations__)
    assert list(single) == list(several) == [*output, "run_id", "error"]
    assert single["turns"] == several["turns"][:1]
    assert (single["concise_answer"], several["concise_answer"], several["error"]) == ("It is 41", "42", None)
    assert [message["content"] for message in several["messages"]] == [QUESTION, "Six times seven is 42."]
    usage = several["usage"]
    assert (usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]) == (3000, 0, 30)
    thought = sum(turn["seconds"] for turn in several["turns"])
    assert usage["seconds"] >= thought >= single["usage"]["seconds"] > 0


@pytest.mark.parametrize(
    ("concise", "same", "said"),
    [("It is **41**, by the way.", True, "the answers agree ·"), ("42", False, "the answers differ: 41 / 42 ·")],
)
def test_answers_are_compared_by_meaning_not_by_format(scripted: Scripted, concise: str, same: bool, said: str) -> None:
    scripted(ModelByKind(first=first("41"), refine="Hm.", synthesis=synthesis("So it is.", concise)))
    assert run_compare("--shared-first")["agree"] is same
    assert said in llamaberry("compare", QUESTION, "--shared-first").stdout


def test_without_an_answer_agree_is_null(scripted: Scripted) -> None:
    scripted(ModelByKind(first="I wonder."))
    assert run_compare()["agree"] is None
    assert "an answer is missing ·" in llamaberry("compare", QUESTION).stdout


def test_every_setting_reaches_both_runs(scripted: Scripted) -> None:
    groq = scripted(ModelByKind(refine=refine("It is 41.")))
    words = "--model groq:other --turns 5 --early-stop --temperature 0.5 --max-tokens 99 --system-prompt Think."
    document = run_compare(*words.split(), "--deadline", "500", "--turn-timeout", "20")
    assert document["turns:5+early"]["stop_reason"] == "agreement"
    assert request_kinds(groq) == ["first", "first", "refine", "synthesis"]
    for request in groq.requests:
        body = request.body
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("other", 0.5, 99)
        assert body["messages"][0] == {"role": "system", "content": "Think."}


def test_only_a_wide_terminal_shows_the_runs_side_by_side(scripted: Scripted) -> None:
    scripted(ModelByKind())
    heads = re.compile(r"single[^\n]+turns:3")
    for width, beside in (("100", True), ("99", False)):
        lines = re.sub(r"\x1b\[[\d;?]*\w", "", run_in_terminal("compare", QUESTION, COLUMNS=width)).split(QUESTION)[-1]
        assert bool(heads.search(lines)) is beside
        assert max(map(len, lines.split("\r\n"))) <= int(width)


def test_only_a_terminal_shows_what_the_runs_are_doing(scripted: Scripted) -> None:
    scripted(ModelByKind(first=Reply(first(), delay=0.5)))
    assert "single: turn 1 … · turns:3: turn 1 …" in run_in_terminal("compare", QUESTION)
    assert llamaberry("compare", QUESTION).stderr == ""


def test_compare_removes_escape_codes(scripted: Scripted) -> None:
    evil = "4\x1b]0;owned\x07\x1b[2J\x9b31m2\r"
    steps = [(evil, evil)]
    model = ModelByKind(
        first=first(evil, steps=steps), refine=refine(f"{evil}!", steps=steps), synthesis=synthesis(evil, f"{evil}?")
    )
    scripted(model)
    for width in ("80", "120"):
        assert not re.search(r"\x1b\]|\x07|\x1b\[2J|\x9b", run_in_terminal("compare", f"{evil}?", COLUMNS=width))
    assert "\x9b" not in llamaberry("compare", QUESTION, "--json").stdout


def test_compare_stores_no_thread(scripted: Scripted, tmp_path: Path) -> None:
    scripted(ModelByKind())
    for how in ((), ("--shared-first",)):
        assert llamaberry("compare", QUESTION, *how).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_user_error_of_compare_exits_with_2(groq: ScriptedGroq) -> None:
    assert "--turns" in usage_error("compare", QUESTION, "--turns", "1")
    assert "--turns" in usage_error("compare", QUESTION, "--turns", "11")
    assert "--max-tokens 3" in usage_error("compare", QUESTION, "--max-tokens", "3")
    assert "blank" in usage_error("compare", "-", stdin=" \n")
    assert "blank" in usage_error("compare", " ", "--shared-first")
    assert "UTF-8" in usage_error("compare", "-", stdin="\0")
    assert "GROQ_API_KEY" in usage_error("compare", QUESTION, "--model", "groq:any", GROQ_API_KEY="")
    assert groq.requests == []


def test_each_compared_run_is_a_trace(scripted: Scripted, collector: Collector) -> None:
    scripted(ModelByKind())
    run = llamaberry("compare", QUESTION, "--shared-first", "--turns", "2", "--trace", "--json")
    document = json.loads(run.stdout)
    ids = [document[name]["run_id"] for name in ("single", "turns:2")]
    assert run.stderr == f"llamaberry: trace: LangSmith project 'tests', run {', '.join(ids)}\n"
    roots = [run for run in collector.runs if run["name"] == "llamaberry"]
    assert [root["id"] for root in roots] == ids
    assert [metadata(root)["arm"] for root in roots] == ["single", "turns:2"]
    assert len({metadata(root)["thread_id"] for root in roots}) == 1
    assert [name.strip() for name in collector.tree() if name.endswith("model call")] == [
        "turn 1 model call",
        "check model call",
        "turn 2 model call",
        "synthesis model call",
    ]
