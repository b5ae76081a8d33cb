"""`llamaberry chat`: a conversation, from a pipe and from a person at a terminal."""

import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from testing.command import LIMIT_S, llamaberry, usage_error
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first
from testing.terminal import CTRL_C, CTRL_D, DELETE, HOME, UP, Terminal

PROMPT = "> "
QUIET = ("chat", "--quiet", "--turns", "1", "--verify", "none")


def test_each_line_of_a_pipe_is_a_question_on_one_thread(scripted: Scripted) -> None:
    groq = scripted([first("42"), first("winter")])
    run = llamaberry(*QUIET, stdin="\ufeffWhat is 6*7?\n\nAnd in winter?\n")
    assert (run.returncode, run.stdout, run.stderr) == (0, "42\nwinter\n", "")
    contents = [str(message["content"]) for message in groq.requests[-1].messages]
    assert [sum(text in content for content in contents) for text in ("6*7", "42", "winter")] == [1, 1, 1]


def test_continue_goes_on_with_the_newest_thread(scripted: Scripted) -> None:
    groq = scripted(lambda request: first("42"))
    llamaberry(*QUIET, "--thread", "trip", stdin="To Rome?\n")
    llamaberry(*QUIET, "-c", stdin="And back?\n")
    assert "To Rome?" in str(groq.requests[-1].messages)
    assert llamaberry("history").stdout.startswith("trip · ")


def test_new_starts_another_thread(scripted: Scripted) -> None:
    groq = scripted(lambda request: first("42"))
    run = llamaberry(*QUIET, stdin="To Rome?\n/new\nAnd back?\n")
    assert run.stdout == "42\n42\n"
    assert "To Rome?" not in str(groq.requests[-1].messages)


def test_show_prints_the_newest_question_as_a_tree(groq: ScriptedGroq) -> None:
    run = llamaberry(*QUIET, "--thread", "T", stdin="one?\ntwo?\n/show\n")
    tree = run.stdout.removeprefix("42\n42\n")
    assert tree == llamaberry("show", "T").stdout
    assert tree.startswith("two?\n")


def test_a_path_is_no_command(groq: ScriptedGroq) -> None:
    assert llamaberry(*QUIET, stdin="/etc/passwd has which columns?\n").stdout == "42\n"


def test_an_unknown_command_is_refused(groq: ScriptedGroq) -> None:
    run = llamaberry(*QUIET, stdin="/shwo\nQ\n")
    assert (run.returncode, run.stderr) == (2, "llamaberry: there is no command '/shwo': /help lists them\n")
    assert groq.requests == []


def test_a_failed_question_of_a_pipe_ends_it(scripted: Scripted) -> None:
    groq = scripted(lambda request: Reply(status=401))
    run = llamaberry(*QUIET, stdin="one?\ntwo?\n")
    assert (run.returncode, len(groq.requests)) == (2, 1)


def test_a_degraded_answer_is_in_the_exit_code(scripted: Scripted) -> None:
    def fails_to_refine(request: Request) -> Reply | str:
        return Reply(status=400) if len(request.messages) > 2 else first("42")

    scripted(fails_to_refine)
    words = ("chat", "--quiet", "--turns", "2", "--verify", "none")
    assert llamaberry(*words, stdin="one?\n").returncode == 3


def test_an_invalid_setting_is_refused_before_a_question() -> None:
    assert "--turns" in usage_error("chat", "--turns", "11", stdin="Q\n")


def test_a_conversation_needs_stored_threads() -> None:
    assert "unset it" in usage_error("chat", LLAMABERRY_CHECKPOINTS="none")


class Typed(NamedTuple):
    """A conversation of a person at a terminal."""

    outputs: list[str]
    """What was printed before each prompt."""
    exit_code: int
    history: Path


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """One conversation, of which each test below checks a part."""
    home = tmp_path_factory.mktemp("home")
    script = [Reply(hang=True), first("resumed"), first("edited"), Reply(status=400), first("recalled")]
    lines = ["/resume\n", f"xand now?{HOME}{DELETE}\n", "refused?\n", f"{UP}{UP}\n", "half a line"]
    with ScriptedGroq(script, keep_alive=False) as groq:
        environment = {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq.url, "LLAMABERRY_HOME": str(home)}
        with Terminal(*QUIET, **environment, LANGSMITH_TRACING="false", NO_COLOR="1") as terminal:
            outputs = [terminal.expect(PROMPT)]
            terminal.type("interrupted?\n")
            groq.wait(1, timeout=LIMIT_S)
            terminal.type(CTRL_C)
            for line in lines:
                outputs.append(terminal.expect(PROMPT))
                terminal.type(line)
            terminal.expect("half a line")
            outputs.append(terminal.expect(PROMPT, retype=CTRL_C))
            terminal.type(CTRL_D)
            return Typed(outputs, terminal.exit_code(), home / "chat_history")


def test_a_prompt_says_how_to_leave(typed: Typed) -> None:
    assert "Ctrl-D leaves" in typed.outputs[0]


def test_ctrl_c_ends_a_run_and_no_conversation(typed: Typed) -> None:
    assert "`/resume` continues from here" in typed.outputs[1]


def test_resume_continues_the_interrupted_question(typed: Typed) -> None:
    assert "resumed" in typed.outputs[2]


def test_a_typed_line_can_be_edited(typed: Typed) -> None:
    assert "edited" in typed.outputs[3]
    assert "\nand now?\n" in typed.history.read_text()


def test_an_error_does_not_end_a_typed_conversation(typed: Typed) -> None:
    assert "llamaberry: " in typed.outputs[4]


def test_ctrl_c_at_the_prompt_drops_the_line(typed: Typed) -> None:
    assert typed.outputs[6] == f"\r\n{PROMPT}"
    assert "half a line" not in typed.history.read_text()


def test_a_line_before_can_be_recalled(typed: Typed) -> None:
    assert "recalled" in typed.outputs[5]


def test_ctrl_d_leaves(typed: Typed) -> None:
    assert typed.exit_code == 0


def test_only_the_user_can_read_the_lines_before(typed: Typed) -> None:
    assert stat.S_IMODE(typed.history.stat().st_mode) == 0o600
