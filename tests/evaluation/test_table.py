"""The report in a terminal: whole names and whole lines at 80 columns, and nothing but text."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from llamaberry.evaluation.plots import plots
from llamaberry.evaluation.report import Report, report
from llamaberry.evaluation.table import print_report
from llamaberry.graph.errors import SetupError
from testing.eval_results import small, small_report


@pytest.fixture(scope="module")
def made() -> Report:
    return small_report()


def printed(made: Report, width: int) -> str:
    file = io.StringIO()
    print_report(made, Console(file=file, width=width, highlight=False, markup=False, emoji=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_the_tables_fit_the_terminal_and_break_no_name(made: Report, width: int) -> None:
    longest = [r.model_copy(update={"arm": r.arm.replace("y:3", "y:40"), "task": f"{r.task}_" * 4}) for r in small()]
    for shown in (printed(made, width), printed(report(longest, settings={}), width)):
        assert max(map(len, shown.splitlines())) <= width
    assert "self-consistency:40 " in shown
    assert "words_words_words_words_ " in shown


def test_where_it_is_narrow_the_names_of_tasks_are_broken_and_nothing_else() -> None:
    long = [r.model_copy(update={"task": f"{r.task}_" * 20}) for r in small()]
    tasks = printed(report(long, settings={}), 66).partition("\nTasks\n")[2]
    assert max(map(len, tasks.splitlines())) <= 66
    for whole in (" self-consistency:3 ", " accuracy ", " 100.0% ", " 57–100%"):
        assert whole in tasks


def test_the_tables_tell_each_figure(made: Report) -> None:
    lines = [" ".join(line.split()) for line in printed(made, 80).splitlines()]
    for line in (
        "turns:3 10 7 70.0% 40–89% 60.0% 3 2",
        "turns:3 turn 1 60.0% 31–83%",
        "turn 2 60.0% 31–83% 1 1 5 3",
        "refining 2 2 4 2",
        "synthesis 70.0% 40–89% 2 1 5 1",
        "in all 3 2 4 1",
        "turns:3 380 152 190 570 814 7.6 8.0",
        "single $0.000180 $0.000324",
        "single 9 11.1% 11.1% 1 0",
        "turns:3 4 3 1 2 +20.0 0.625",
        "against single",
        "3 comparisons, p not corrected for it. Points: how far the first is ahead of the",
        "words single 5 0 0.0% 0–43%",
        "self-consistency:3 lacks 1 of the 10 questions: compare it by the pairs alone.",
    ):
        assert line in lines
    assert " ".join(lines).rstrip().endswith(made.recommendation)


def test_a_strangers_text_cannot_steer_the_terminal() -> None:
    evil = [r.model_copy(update={"task": f"\x1b[31m{r.task}\n[bold]"}) for r in small()]
    shown = printed(report(evil, settings={}), 80)
    assert "\x1b" not in shown
    assert "[31msums [bold]" in shown


def test_an_arm_that_was_asked_nothing_is_told() -> None:
    shown = printed(report(small(), settings={"arms": ["turns:2"]}), 80)
    assert "turns:2 was asked none of the 10 questions." in shown


def test_without_the_extra_the_remedy_is_named(made: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("scipy.stats", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    for needs in (lambda: report(small(), settings={}), lambda: plots(made)):
        with pytest.raises(SetupError, match=r'needs scipy and matplotlib: pip install "llamaberry\[eval\]"'):
            needs()


def test_the_command_line_waits_for_neither_scipy_nor_matplotlib() -> None:
    code = "import sys, llamaberry.evaluation.page, llamaberry.evaluation.table; "
    code += "print([name for name in ('scipy', 'matplotlib') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
