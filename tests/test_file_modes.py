"""Files with questions and answers are readable by their owner only, also with the usual umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.batch import run_batch, write_questions
from testing.command import kill_when, llamaberry
from testing.evaluation import run_eval
from testing.evaluation import write_questions as write_evaluation
from testing.scripted_groq import Reply, Request, Scripted, good_model
from testing.scripts import nth_call_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*") if path.is_file()}


def test_a_batchs_files_are_private(scripted: Scripted, tmp_path: Path) -> None:
    """Also the checkpoints, which exist while it runs."""
    source, folder = write_questions(tmp_path, "Q"), tmp_path / "out"
    out, turns = folder / "out.jsonl", ("--turns", "2", "--verify", "none")

    def hang_in_the_second_turn(request: Request) -> Reply:
        return Reply(hang=True) if nth_call_of(request)[1] == 2 else Reply(good_model(request))

    groq = scripted(hang_in_the_second_turn)
    kill_when(groq, ["batch", source, str(out), *turns], lambda: len(groq.requests) == 2)
    left = modes(folder)
    assert {".out.jsonl.checkpoints", ".out.jsonl.checkpoints-wal"} <= left.keys()
    assert set(left.values()) == {"0o600"}
    groq.play()
    run_batch(source, out, *turns)
    run_batch(source, out, *turns, "--retry-errors")
    assert modes(folder) == {"out.jsonl": "0o600"}


def test_a_mode_that_the_owner_chose_stays(scripted: Scripted, tmp_path: Path) -> None:
    source, out = write_questions(tmp_path, "Q"), tmp_path / "out.jsonl"
    out.touch()
    out.chmod(0o640)
    scripted(good_model)
    run_batch(source, out, "--turns", "1", "--retry-errors")
    assert oct(stat.S_IMODE(out.stat().st_mode)) == "0o640"


def test_an_evaluations_files_are_private(scripted: Scripted, tmp_path: Path) -> None:
    scripted(good_model)
    run_eval(write_evaluation(tmp_path, "Q"), tmp_path / "eval", "--arms", "single")
    assert {"settings.json", "results.jsonl", "report.json", "report.html"} <= modes(tmp_path / "eval").keys()
    assert set(modes(tmp_path / "eval").values()) == {"0o600"}


def test_a_page_of_a_run_is_private(scripted: Scripted, tmp_path: Path) -> None:
    scripted(good_model)
    folder = tmp_path / "pages"
    folder.mkdir()
    llamaberry("ask", "Q", "--thread", "T", "--turns", "1")
    for _ in range(2):
        assert llamaberry("show", "T", "--html", str(folder / "run.html")).returncode == 0
    assert modes(folder) == {"run.html": "0o600"}
