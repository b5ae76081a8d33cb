"""Text files and images on the command line: what the model gets, in every turn, and what is refused before a call."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testing.command import COMMAND, LIMIT_S, assert_refused, llamaberry, running_command
from testing.local_model import use_scripted_local
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, refine, synthesis

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "pixel.png"
    path.write_bytes(PIXEL)
    return path


def images(messages: list[dict[str, Any]]) -> list[str]:
    """Return the URLs of the images in a request."""
    contents = [message["content"] for message in messages if isinstance(message["content"], list)]
    return [part["image_url"]["url"] for parts in contents for part in parts if part["type"] == "image_url"]


def test_a_text_file_is_below_the_question_in_a_fence(scripted: Scripted, tmp_path: Path) -> None:
    """In a fence that is longer than those in the file."""
    path = tmp_path / "notes.md"
    path.write_text("# Notes\n```\ncode\n```\n", "utf-8")
    groq = scripted([first()])
    llamaberry("ask", "What is in it?", "--file", str(path), "--turns", "1")
    asked = groq.requests[0].messages[-1]["content"]
    assert asked.startswith("What is in it?\n\nnotes.md:\n\n````\n# Notes\n```\ncode\n```\n````\n\n")


def test_what_is_piped_is_part_of_the_question(scripted: Scripted) -> None:
    groq = scripted([first()])
    llamaberry("ask", "Summarise.", "--turns", "1", stdin="\ufeffMany notes.\n")
    asked = groq.requests[0].messages[-1]["content"]
    assert asked.startswith("Summarise.\n\nstandard input:\n\n```\nMany notes.\n```\n\n")


@pytest.mark.parametrize("words", [("ask", "Q"), ("ask", "-"), ("chat",)])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_is_piped_has_to_be_text(words: tuple[str, ...], locale: str) -> None:
    command = [*COMMAND, *words]
    environment = os.environ | {"LC_ALL": locale}
    run = subprocess.run(command, input=b"caf\xe9\n", capture_output=True, env=environment, check=False)
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr == b"llamaberry: standard input is not text in UTF-8: save it as UTF-8, and ask again\n"


def test_an_open_pipe_without_text_is_not_waited_for(scripted: Scripted) -> None:
    groq = scripted([first()])
    with running_command("ask", "Q", "--turns", "1", stdin=subprocess.PIPE) as run:
        assert run.wait(LIMIT_S) == 0
    assert "standard input" not in groq.requests[0].messages[-1]["content"]


def test_a_dash_reads_the_question_without_its_bom(scripted: Scripted) -> None:
    groq = scripted([first()])
    llamaberry("ask", "-", "--turns", "1", stdin="\ufeffWhat is it?")
    assert groq.requests[0].messages[-1]["content"].startswith("What is it?\n\nThis is the first turn.")


def test_every_turn_sees_the_image(scripted: Scripted, picture: Path) -> None:
    groq = scripted([first("41"), refine("42", "revise"), synthesis()], ["NONE"])
    run = llamaberry("ask", "What is it?", "--image", str(picture), "--turns", "2", "--json")
    url = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    assert [images(request.messages) for request in (*groq.requests, *groq.program_requests)] == [[url]] * 4
    assert json.loads(run.stdout)["query"] == "What is it?"


def test_an_image_may_be_a_url(scripted: Scripted) -> None:
    groq = scripted([first()])
    llamaberry("ask", "Q", "--image", "https://example.org/a.png", "--image", "http://example.org/b", "--turns", "1")
    assert images(groq.requests[0].messages) == ["https://example.org/a.png", "http://example.org/b"]


def test_a_thread_keeps_the_image_for_later_questions(scripted: Scripted, picture: Path) -> None:
    groq = scripted([first(), first()])
    llamaberry("ask", "What is it?", "--image", str(picture), "--turns", "1", "--thread", "T")
    llamaberry("ask", "And its colour?", "--turns", "1", "--thread", "T")
    assert images(groq.requests[1].messages) == images(groq.requests[0].messages) != []


def test_a_refused_image_names_the_remedy(scripted: Scripted, picture: Path) -> None:
    scripted([Reply(status=400, text="messages[1].content must be a string")])
    run = llamaberry("ask", "Q", "--image", str(picture))
    assert run.returncode == 1
    assert "if the model reads no images, choose one that does (--model)" in run.stderr


def test_the_local_model_gets_no_image(picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_scripted_local(tmp_path, monkeypatch)
    run = llamaberry("ask", "Q", "--image", str(picture), "--model", "local")
    assert_refused(run, "reads no images: choose a model that does")


@pytest.mark.parametrize(
    ("option", "name", "content", "message"),
    [
        ("--file", "missing.txt", None, "cannot be read (No such file or directory)"),
        ("--file", "latin.txt", "é".encode("latin-1"), "it is not text in UTF-8"),
        ("--file", "zero.txt", b"a\0b", "it is not text"),
        ("--image", "missing.png", None, "cannot be read"),
        ("--image", "notes.txt", b"text", "does not end like an image's"),
    ],
)
def test_what_cannot_be_attached_is_refused(
    groq: ScriptedGroq, tmp_path: Path, option: str, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert_refused(llamaberry("ask", "Q", option, str(tmp_path / name)), message)
    assert groq.requests == []
