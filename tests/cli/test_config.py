"""The user's own defaults: config.toml, and `llamaberry config`."""

import json
import stat
from pathlib import Path

import pytest

from llamaberry import Context
from testing.command import QUESTION, llamaberry, usage_error
from testing.scripted_groq import Scripted, ScriptedGroq, first

OTHER = "openai/gpt-oss-20b"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def ask(*words: str) -> None:
    assert llamaberry("ask", QUESTION, "-q", "--turns", "1", *words).returncode == 0


def test_a_default_of_the_file_counts(groq: ScriptedGroq, file: Path) -> None:
    file.write_text(f'model = "{OTHER}"\nmax_tokens = 100\n')
    ask()
    body = groq.requests[-1].body
    assert (body["model"], body["max_tokens"]) == (OTHER, 100)


def test_an_option_wins_over_the_file(groq: ScriptedGroq, file: Path) -> None:
    file.write_text("max_tokens = 100\n")
    ask("--max-tokens", "200")
    assert groq.requests[-1].body["max_tokens"] == 200


@pytest.mark.parametrize("words", [("compare", QUESTION), ("chat", "-q"), ("batch", "in.jsonl", "out.jsonl")])
def test_the_file_counts_for_other_commands(
    groq: ScriptedGroq, file: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    Path("in.jsonl").write_text('{"question": "6 * 7?"}\n')
    file.write_text("max_tokens = 100\n")
    assert llamaberry(*words, stdin="6 * 7?\n").returncode == 0
    assert {request.body["max_tokens"] for request in groq.requests} == {100}


def test_code_does_not_read_the_file(file: Path) -> None:
    file.write_text("max_turns = 5\n")
    assert Context().max_turns == 3


def test_a_resumed_run_keeps_its_own_settings(scripted: Scripted, file: Path) -> None:
    groq = scripted([])  # every call fails
    llamaberry("ask", QUESTION, "-q", "--thread", "T", "--turns", "1", "--max-tokens", "200")
    groq.play([first("42")])
    file.write_text("max_tokens = 100\n")
    assert llamaberry("resume", "-q", "T").stdout == "42\n"
    assert groq.requests[-1].body["max_tokens"] == 200


def test_a_list_says_where_each_value_comes_from(file: Path) -> None:
    file.write_text("early_stop = true\n")
    lines = llamaberry("config").stdout.splitlines()
    assert lines[0] == str(file)
    assert "early_stop       true · config file" in lines
    assert "max_turns        3 · built in" in lines


def test_a_list_as_json(file: Path) -> None:
    file.write_text("early_stop = true\n")
    document = json.loads(llamaberry("config", "--json").stdout)
    assert (document["path"], document["exists"]) == (str(file), True)
    assert {"name": "early_stop", "value": True, "source": "config file"} in document["settings"]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("max_turns", "5", "max_turns = 5"),
        ("early_stop", "yes", "early_stop = true"),
        ("temperature", "0.5", "temperature = 0.5"),
        ("model", 'a"b\\c', r'model = "a\"b\\c"'),
        ("instructions", "verify=Check it.", 'instructions = { verify = "Check it." }'),
    ],
)
def test_set_writes_a_line(file: Path, name: str, value: str, line: str) -> None:
    run = llamaberry("config", "set", name, value)
    assert (run.returncode, run.stderr) == (0, "")
    assert file.read_text() == f"{line}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_set_keeps_the_other_lines(file: Path) -> None:
    file.write_text('# mine\nmax_turns = 4  # often\nmodel = "local"\n\n[instructions]\nverify = "Check it."')
    llamaberry("config", "set", "max_turns", "5")
    llamaberry("config", "set", "early_stop", "true")
    assert file.read_text().splitlines() == [
        *("# mine", "max_turns = 5", 'model = "local"', "early_stop = true"),
        *("", "[instructions]", 'verify = "Check it."'),
    ]


def test_set_refuses_what_it_cannot_rewrite(file: Path) -> None:
    file.write_text(text := 'system_prompt = """\nBe brief.\n"""\n')
    assert "edit the file" in usage_error("config", "set", "system_prompt", "Be long.")
    assert file.read_text() == text


def test_unset_removes_a_line(file: Path) -> None:
    file.write_text('max_turns = 4\nmodel = "local"\n')
    assert llamaberry("config", "unset", "max_turns").stdout == f"removed max_turns from {file}\n"
    assert file.read_text() == 'model = "local"\n'


def test_unset_removes_an_unknown_name(file: Path) -> None:
    file.write_text("max_turn = 4\n")
    assert llamaberry("config", "unset", "max_turn").returncode == 0
    assert file.read_text() == ""


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("turns", "5", "did you mean max_turns?"),
        ("max_turns", "11", "max_turns 11: it should be less than or equal to 10"),
        ("groq_api_key", "x", "export it as an environment variable"),
        ("model", "gsk_0123456789abcdef0123", "model holds a key"),
        ("review", "each_turn", "use the option --review"),
    ],
)
def test_set_refuses_names_and_values(file: Path, name: str, value: str, message: str) -> None:
    assert message in usage_error("config", "set", name, value)
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_turn = 4",
            "config.toml: max_turn is no setting: did you mean max_turns?; `llamaberry config unset max_turn`",
        ),
        (
            "max_turns = 11",
            "config.toml: max_turns 11: it should be less than or equal to 10; `llamaberry config unset",
        ),
        ('groq_api_key = "x"', "config.toml: groq_api_key: a key is no setting: export it as an environment variable"),
        ("max_turns", "config.toml is not TOML (Expected '='"),
    ],
)
def test_an_invalid_file_is_refused(groq: ScriptedGroq, file: Path, text: str, message: str) -> None:
    file.write_text(text)
    assert message in usage_error("ask", QUESTION)
    assert groq.requests == []


def test_nothing_to_set_is_refused() -> None:
    assert "config set NAME VALUE" in usage_error("config", "set", "max_turns")
