"""What the command line shows of a check: the program, what it printed, and what follows."""

import json
import re
from pathlib import Path

import pytest

from testing.command import CSI, llamaberry, run_in_terminal, signal_during_call
from testing.pages import PageElements
from testing.scripted_groq import Scripted, first, program, refine, synthesis
from testing.scripts import HANG

PROGRAM = "print(6 * 7)"
HOSTILE = 'print(f"{6 * 7}<b>\\x1b[31m")'


def test_ask_prints_the_program_and_what_it_printed(scripted: Scripted) -> None:
    """Below the turn; a verified turn needs no synthesis."""
    scripted([first("42")], [program(PROGRAM)])
    run = llamaberry("ask", "Q")
    assert (run.returncode, run.stderr) == (0, "")
    check = run.stdout.partition("check · a program, written from the question alone:\n")[2]
    shown = f"  {PROGRAM}\nit printed:\n  42\ncheck · The program's answer is 42: turn 1's.\n"
    assert check.startswith(f"{shown}1 turn · verified by a program · ")
    assert check.endswith("\n── answer ──\n42\n")
    assert run.stdout.count(PROGRAM) == 1


def test_ask_highlights_the_program_on_a_terminal(scripted: Scripted) -> None:
    scripted([first("42")], [program(PROGRAM)])
    output = run_in_terminal("ask", "Q")
    line = next(line for line in output.splitlines() if "(" in line and "print" in line)
    assert line.count(CSI) > 4
    assert re.sub(r"\x1b\[[\d;]*[mK]", "", line).strip() == PROGRAM


def test_ask_prints_a_program_once_and_each_verdict(scripted: Scripted) -> None:
    scripted([first("41"), first("42")], [program(PROGRAM)])
    output = llamaberry("ask", "Q").stdout
    assert output.count(PROGRAM) == 1
    verdicts = re.findall(r"^check · (The .*)$", output, re.MULTILINE)
    assert verdicts == ["The program's answer is 42: not turn 1's.", "The program's answer is 42: turn 2's."]


def test_resume_prints_the_check_before_what_it_changed(scripted: Scripted) -> None:
    groq = scripted([first("41"), HANG, first("42")], [program(PROGRAM)])
    signal_during_call(groq, 2, "ask", "Q")
    steps = re.findall(r"^(turn \d|check · The .*) ?", llamaberry("resume").stdout, re.MULTILINE)
    checks = ["check · The program's answer is 42: not turn 1's.", "check · The program's answer is 42: turn 2's."]
    assert steps == ["turn 1", checks[0], "turn 2", checks[1]]


@pytest.mark.parametrize(
    ("programs", "sentence"),
    [
        (["NONE"], "No program can check this answer."),
        ([program("print(1 / 0)")] * 2, "The program failed: line 1: ZeroDivisionError: division by zero"),
    ],
)
def test_ask_says_why_there_is_no_evidence(scripted: Scripted, programs: list[str], sentence: str) -> None:
    scripted([first(), refine(), synthesis()], programs)
    assert f"\ncheck · {sentence}\n" in llamaberry("ask", "Q", "--turns", "2").stdout


def test_the_shortest_form_prints_one_line_for_the_check(scripted: Scripted) -> None:
    scripted([first("42")], [program(PROGRAM)])
    lines = llamaberry("ask", "Q", "--show", "concise").stdout.splitlines()
    assert lines[1] == "check · The program's answer is 42: turn 1's."
    assert lines[-2:] == ["── answer ──", "42"]


def test_quiet_prints_only_the_answer(scripted: Scripted) -> None:
    scripted([first("42")], [program(PROGRAM)])
    assert llamaberry("ask", "-q", "Q").stdout == "42\n"


def test_json_has_the_check(scripted: Scripted) -> None:
    scripted([first("42")], [program(PROGRAM)])
    document = json.loads(llamaberry("ask", "--json", "Q").stdout)
    assert document["check"] == {
        "program": PROGRAM,
        "output": "42\n",
        "error": None,
        "answer": "42",
        "verdict": "agrees",
    }


def test_show_has_the_check_below_its_turn(scripted: Scripted) -> None:
    """Also a program that was replaced, and a verdict on a later turn that came without a call."""
    programs = [program("print(1 / 0)"), program(PROGRAM)]
    scripted([first("41"), first("42")], programs)
    llamaberry("ask", "-q", "Q", "--thread", "T")
    tree = re.sub(r" · [\d.]+ s.*", "", llamaberry("show", "T").stdout)
    *lines, figures = tree.splitlines()[1:]
    assert figures.startswith("thread T · 2 turns · verified by a program · ")
    assert lines == [
        "├── turn 1",
        "│   └── 41",
        "├── check",
        "│   ├── print(1 / 0)",
        "│   └── This program was written again.",
        "├── check · agrees",
        f"│   ├── {PROGRAM}",
        "│   ├── printed: 42",
        "│   └── The program's answer is 42: not turn 1's, but turn 2's.",
        "└── turn 2",
        "    └── [-41-] {+42+}",
        "",
        "42",
        "",
    ]


def test_the_page_has_the_check(scripted: Scripted, tmp_path: Path) -> None:
    """Escaped, and without control characters."""
    scripted([first("41"), first("42")], [program(HOSTILE)])
    llamaberry("ask", "-q", "Q", "--thread", "T", "--turns", "2")
    llamaberry("show", "T", "--html", str(tmp_path / "page.html"))
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = PageElements(html)
    assert "\x1b" not in html
    assert ("pre", {"class": "program"}) in page.elements
    assert ("pre", {"class": "output"}) in page.elements
    assert "b" not in {tag for tag, _ in page.elements}
    assert HOSTILE in page.text
    assert "42<b>[31m" in page.text


def test_a_line_of_a_batch_has_the_check(scripted: Scripted, tmp_path: Path) -> None:
    scripted([first("42")], [program(PROGRAM)])
    (tmp_path / "in.jsonl").write_text('{"question": "Q"}\n')
    llamaberry("batch", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"))
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert (line["check"]["verdict"], line["check"]["program"], line["stop_reason"]) == ("agrees", PROGRAM, "verified")
