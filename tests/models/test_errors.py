"""What a user is told when something is wrong: what it is and what to do, and never a key."""

import asyncio
import socket
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from pydantic import ValidationError

from llamaberry import Context, LlamaberryError, ModelError, SetupError, graph
from testing.scripted_groq import Reply, Scripted, ScriptedGroq

ASKED = {"query": "What is 6 x 7?"}
KEY = "gsk_planted_0123456789"
DOORS = {"invoke": graph.invoke, "ainvoke": lambda *args, **more: asyncio.run(graph.ainvoke(*args, **more))}


@pytest.fixture(params=DOORS)
def run(request: pytest.FixtureRequest) -> Any:
    """Both ways into the graph."""
    return DOORS[request.param]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"query": " \n"}, "is blank"),
        ({"query": ""}, "is blank"),
        ({}, "nothing was asked"),
        ({"messages": []}, "nothing was asked"),
        ({"question": "What is 6 x 7?"}, "nothing was asked"),
        ({"messages": [AIMessage("Hello.")]}, "no human message"),
        ({"messages": [("user", "What is 6 x 7?"), ("user", " ")]}, "blank"),
        ({"query": "x" * 200_001}, "200,001 characters.*200,000"),
        ({"messages": [("user", "x" * 200_001)]}, "200,001 characters.*200,000"),
        ({"query": 42}, "valid string"),
    ],
)
def test_what_is_no_question_is_refused_before_any_call(groq: ScriptedGroq, run: Any, given: Any, told: str) -> None:
    """And the message says why."""
    with pytest.raises(ValidationError, match=told):
        run(given)
    assert groq.requests == []


def test_the_longest_question_is_asked(groq: ScriptedGroq) -> None:
    """The limit itself is allowed."""
    graph.invoke({"query": "x" * 200_000}, context=Context(max_turns=1))
    assert len(groq.requests) == 1


@pytest.mark.parametrize(
    ("dials", "told"),
    [
        ({"max_turn": 3}, "max_turn\n.*Extra inputs"),
        ({"api_key": "gsk"}, "api_key\n.*Extra inputs"),
        ({"max_turns": 0}, "max_turns\n.*greater than or equal to 1"),
        ({"max_turns": 99}, "max_turns\n.*less than or equal to 10"),
        ({"temperature": 2.1}, "temperature\n.*less than or equal to 2"),
        ({"max_tokens": 63}, "max_tokens\n.*greater than or equal to 64"),
        ({"max_tokens": 65537}, "max_tokens\n.*less than or equal to 65536"),
        ({"token_budget": 0}, "token_budget"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"turn_timeout_s": 0}, "turn_timeout_s"),
        ({"model": ""}, "model\n"),
    ],
)
def test_a_bad_dial_is_refused_before_any_call(groq: ScriptedGroq, run: Any, dials: Any, told: str) -> None:
    """Also one that is misspelt: it is named, with its bounds."""
    with pytest.raises(ValidationError, match=told):
        run(ASKED, context=dials)
    with pytest.raises(ValidationError, match=told):
        Context(**dials)
    assert groq.requests == []


def test_a_context_cannot_be_changed() -> None:
    """It is the same for the whole run."""
    with pytest.raises(ValidationError, match="frozen"):
        Context().max_turns = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nosuch:name", "nosuch:name.*Unsupported.*groq"),
        ("mistralai:large", "pip install langchain-mistralai"),
        ("groq:", 'names no model: write "groq:name"'),
        ("groq: ", 'names no model: write "groq:name"'),
        ("local", "llamaberry model pull"),
    ],
)
def test_a_model_that_cannot_be_is_a_setup_error(groq: ScriptedGroq, run: Any, model: str, told: str) -> None:
    """With the remedy, before any call."""
    with pytest.raises(SetupError, match=told):
        run(ASKED, context={"model": model})
    assert groq.requests == []


def test_without_a_key_the_message_says_where_to_get_one(
    groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, the place, and the way without."""
    monkeypatch.delenv("GROQ_API_KEY")
    for model in ("groq:openai/gpt-oss-120b", "openai/gpt-oss-120b"):
        with pytest.raises(SetupError, match=r"GROQ_API_KEY.*https://console.groq.com/keys.*--model local"):
            run(ASKED, context={"model": model})
    assert groq.requests == []


def test_with_neither_a_key_nor_a_local_model_both_remedies_are_named(
    groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newcomer's first error."""
    monkeypatch.delenv("GROQ_API_KEY")
    with pytest.raises(SetupError, match=r"GROQ_API_KEY.*llamaberry model pull"):
        run(ASKED)
    assert groq.requests == []


@pytest.mark.parametrize("key", ["  ", "gsk_two\nlines", "gsk_plänted"], ids=["blank", "two lines", "not ASCII"])
def test_a_key_that_cannot_be_sent_is_named(
    groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """It is the key that is wrong, not the network."""
    monkeypatch.setenv("GROQ_API_KEY", key)
    with pytest.raises(LlamaberryError, match="GROQ_API_KEY") as caught:
        run(ASKED)
    assert "gsk_" not in str(caught.value)
    assert groq.requests == []


def test_a_changed_key_counts_at_once(groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who corrects a key in a notebook need not start it again."""
    for key in ("gsk_one", "gsk_two"):
        monkeypatch.setenv("GROQ_API_KEY", key)
        run(ASKED, context={"max_turns": 1})
    assert [request.headers["authorization"] for request in groq.requests] == ["Bearer gsk_one", "Bearer gsk_two"]


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (400, "'temperature' : too hot", "answered 400: .*'temperature' : too hot"),
        (401, "Invalid API Key", "answered 401: .*check GROQ_API_KEY.*Invalid API Key"),
        (404, "The model `x` does not exist", "answered 404: .*check .*name.*The model `x` does not exist"),
        (413, "Limit 8000, requested 9000", "answered 413: .*lower max_tokens.*Limit 8000, requested 9000"),
    ],
)
def test_a_refusal_is_told_in_the_providers_words_with_what_to_do(
    scripted: Scripted, run: Any, status: int, said: str, told: str
) -> None:
    """One line, one request, the model named, and the provider's own exception below it."""
    groq = scripted([Reply(status=status, error=said)])
    with pytest.raises(ModelError, match=f"^groq:openai/gpt-oss-120b {told}") as caught:
        run(ASKED)
    assert "\n" not in str(caught.value)
    assert getattr(caught.value.__cause__, "status_code", None) == status
    assert len(groq.requests) == 1


@pytest.mark.parametrize("before", [0, 400, 480, 490])
def test_no_key_is_in_an_error_though_the_provider_says_it(
    scripted: Scripted, run: Any, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Neither whole nor cut, wherever it stands in a long message."""
    scripted([Reply(status=401, error=f"{'x' * before} {KEY} is no key")])
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with pytest.raises(ModelError, match="answered 401") as caught:
        run(ASKED)
    assert "gsk_plan" not in str(caught.value)


def test_a_call_that_takes_too_long_ends_and_names_the_dial(scripted: Scripted, run: Any) -> None:
    """With the time that it had."""
    scripted(lambda request: Reply(hang=True))
    with pytest.raises(ModelError, match=r"gave no whole reply within 0\.3 s: .*turn_timeout_s"):
        run(ASKED, context={"turn_timeout_s": 0.3})


def test_a_provider_that_cannot_be_reached_is_told_as_that(
    scripted: Scripted, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens there."""
    scripted()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("GROQ_API_BASE", f"http://127.0.0.1:{port}")
    with pytest.raises(ModelError, match="cannot be reached"):
        run(ASKED)
