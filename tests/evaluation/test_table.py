"""The report in a terminal: names and lines fit 80 columns, and control characters are removed."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from llamaberry.evaluation.plots import plots
from llamaberry.evaluation.report import Report, report
from llamaberry.evaluation.table import print_report
from llamaberry.graph.errors import SetupError
from testing.eval_results import small_report, small_results


@pytest.fixture(scope="module")
def full_report() -> Report:
    return small_report()


def printed(full_report: Report, width: int) -> str:
    file = io.StringIO()
    print_report(full_report, Console(file=file, width=width, highlight=False, markup=False, emoji=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_the_tables_fit_the_terminal(full_report: Report, width: int) -> None:
    longest = [
        r.model_copy(update={"arm": r.arm.replace("y:3", "y:40"), "task": f"{r.task}_" * 4}) for r in small_results()
    ]
    for output in (printed(full_report, width), printed(report(longest, settings={}), width)):
        assert max(map(len, output.splitlines())) <= width
    assert "self-consistency:40 " in output
    assert "words_words_words_words_ " in output


def test_a_narrow_terminal_wraps_only_the_names_of_tasks() -> None:
    long = [r.model_copy(update={"task": f"{r.task}_" * 20}) for r in small_results()]
    tasks = printed(report(long, settings={}), 66).partition("\nTasks\n")[2]
    assert max(map(len, tasks.splitlines())) <= 66
    for cell in (" self-consistency:3 ", " accuracy ", " 100.0% ", " 57–100%"):
        assert cell in tasks


def test_the_tables_contain_each_figure(full_report: Report) -> None:
    lines = [" ".join(line.split()) for line in printed(full_report, 80).splitlines()]
    for line in (
        "turns:3 10 7 70.0% 40–89% 60.0% 3 2",
        "turns:3 turn 1 60.0% 31–83%",
        "turn 2 60.0% 31–83% 1 1 5 3",
        "refining 2 2 4 2",
        "synthesis 70.0% 40–89% 2 1 5 1",
        "overall 3 2 4 1",
        "turns:3 380 152 190 570 814 7.6 8.0",
        "single $0.000180 $0.000324",
        "single 1.0 1 11.1% 11.1% 1 0",
        "turns:3 4 3 1 2 +20.0 0.625",
        "against single",
        "p is not corrected for the 3 comparisons. Points: the lead of the first arm.",
        "words single 5 0 0.0% 0–43%",
        "self-consistency:3 lacks 1 of the 10 questions: compare it by the pairs only.",
    ):
        assert line in lines
    assert " ".join(lines).rstrip().endswith(full_report.recommendation)


def test_control_characters_are_removed() -> None:
    evil = [r.model_copy(update={"task": f"\x1b[31m{r.task}\n[bold]"}) for r in small_results()]
    output = printed(report(evil, settings={}), 80)
    assert "\x1b" not in output
    assert "[31msums [bold]" in output


def test_an_arm_without_results_is_reported() -> None:
    output = printed(report(small_results(), settings={"arms": ["turns:2"]}), 80)
    assert "turns:2 has none of the 10 questions." in output


def test_a_missing_extra_is_an_error_with_the_remedy(full_report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("scipy.stats", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)  # as if not installed
    for function in (lambda: report(small_results(), settings={}), lambda: plots(full_report)):
        with pytest.raises(SetupError, match=r'needs scipy and matplotlib: pip install "llamaberry\[eval\]"'):
            function()


def test_importing_the_report_loads_no_scipy_or_matplotlib() -> None:
    code = "import sys, llamaberry.evaluation.page, llamaberry.evaluation.table; "
    code += "print([name for name in ('scipy', 'matplotlib') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
