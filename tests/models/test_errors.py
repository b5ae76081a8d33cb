"""Error messages name the cause and the remedy, and never contain a key."""

import asyncio
import socket
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from pydantic import ValidationError

from llamaberry import Context, LlamaberryError, ModelError, SetupError, graph
from testing.scripted_groq import Reply, Scripted, ScriptedGroq

INPUT = {"query": "What is 6 x 7?"}
KEY = "gsk_planted_0123456789"
ENTRY_POINTS = {"invoke": graph.invoke, "ainvoke": lambda *args, **more: asyncio.run(graph.ainvoke(*args, **more))}


@pytest.fixture(params=ENTRY_POINTS)
def run(request: pytest.FixtureRequest) -> Any:
    """Return the sync or the async call of the graph."""
    return ENTRY_POINTS[request.param]


@pytest.mark.parametrize(
    ("input", "message"),
    [
        ({"query": " \n"}, "is blank"),
        ({"query": "caf\udce9"}, "surrogate pair"),
        ({"messages": [("user", "\ud800"), ("user", "Q")]}, "surrogate pair"),
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
def test_an_invalid_question_is_refused_before_any_call(groq: ScriptedGroq, run: Any, input: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        run(input)
    assert groq.requests == []


def test_the_longest_allowed_question_is_answered(groq: ScriptedGroq) -> None:
    graph.invoke({"query": "x" * 200_000}, context=Context(max_turns=1))
    assert len(groq.requests) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
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
def test_an_invalid_setting_is_refused_before_any_call(
    groq: ScriptedGroq, run: Any, settings: Any, message: str
) -> None:
    """The message names the setting, also a misspelt one, and its bounds."""
    with pytest.raises(ValidationError, match=message):
        run(INPUT, context=settings)
    with pytest.raises(ValidationError, match=message):
        Context(**settings)
    assert groq.requests == []


@pytest.mark.parametrize("step", ["model", "refine_model", "verify_model", "synthesis_model"])
def test_a_cost_limit_needs_known_prices(groq: ScriptedGroq, run: Any, step: str) -> None:
    with pytest.raises(SetupError, match=r"0\.5: the price of groq:no/such-model is not known; choose another"):
        run(INPUT, context={step: "groq:no/such-model", "max_cost_usd": 0.5})
    assert groq.requests == []


def test_a_context_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Context().max_turns = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nosuch:name", "nosuch:name.*Unsupported.*groq"),
        ("mistralai:large", "pip install langchain-mistralai"),
        ("groq:", 'names no model: write "groq:name"'),
        ("groq: ", 'names no model: write "groq:name"'),
        ("local", "llamaberry model pull"),
    ],
)
def test_an_unusable_model_is_a_setup_error_with_the_remedy(
    groq: ScriptedGroq, run: Any, model: str, message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        run(INPUT, context={"model": model})
    assert groq.requests == []


def test_a_missing_key_error_says_where_to_get_one(
    groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROQ_API_KEY")
    for model in ("groq:openai/gpt-oss-120b", "openai/gpt-oss-120b"):
        with pytest.raises(SetupError, match=r"GROQ_API_KEY.*https://console.groq.com/keys.*--model local"):
            run(INPUT, context={"model": model})
    assert groq.requests == []


def test_without_key_and_local_model_both_remedies_are_named(
    groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROQ_API_KEY")
    with pytest.raises(SetupError, match=r"GROQ_API_KEY.*llamaberry model pull"):
        run(INPUT)
    assert groq.requests == []


@pytest.mark.parametrize("key", ["  ", "gsk_two\nlines", "gsk_plänted"], ids=["blank", "two lines", "not ASCII"])
def test_an_invalid_key_is_named_and_not_shown(
    groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", key)
    with pytest.raises(LlamaberryError, match="GROQ_API_KEY") as caught:
        run(INPUT)
    assert "gsk_" not in str(caught.value)
    assert groq.requests == []


def test_a_changed_key_takes_effect_at_once(groq: ScriptedGroq, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook need not be restarted."""
    for key in ("gsk_one", "gsk_two"):
        monkeypatch.setenv("GROQ_API_KEY", key)
        run(INPUT, context={"max_turns": 1})
    assert [request.headers["authorization"] for request in groq.requests] == ["Bearer gsk_one", "Bearer gsk_two"]


@pytest.mark.parametrize(
    ("status", "details", "message"),
    [
        (400, "'temperature' : too hot", "answered 400: .*'temperature' : too hot"),
        (401, "Invalid API Key", "answered 401: .*check GROQ_API_KEY.*Invalid API Key"),
        (404, "The model `x` does not exist", "answered 404: .*check .*name.*The model `x` does not exist"),
        (413, "Limit 8000, requested 9000", "answered 413: .*lower max_tokens.*Limit 8000, requested 9000"),
    ],
)
def test_a_refusal_has_the_providers_message_and_the_remedy(
    scripted: Scripted, run: Any, status: int, details: str, message: str
) -> None:
    """In one line, after one request, with the provider's exception as the cause."""
    groq = scripted([Reply(status=status, error=details)])
    with pytest.raises(ModelError, match=f"^groq:openai/gpt-oss-120b {message}") as caught:
        run(INPUT)
    assert "\n" not in str(caught.value)
    assert getattr(caught.value.__cause__, "status_code", None) == status
    assert len(groq.requests) == 1


@pytest.mark.parametrize("offset", [0, 400, 480, 490])
def test_a_key_in_the_providers_message_is_redacted(
    scripted: Scripted, run: Any, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    """Completely, wherever it is in a long message."""
    scripted([Reply(status=401, error=f"{'x' * offset} {KEY} is no key")])
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with pytest.raises(ModelError, match="answered 401") as caught:
        run(INPUT)
    assert "gsk_plan" not in str(caught.value)


def test_a_timeout_names_the_setting_and_its_value(scripted: Scripted, run: Any) -> None:
    scripted(lambda request: Reply(hang=True))
    with pytest.raises(ModelError, match=r"gave no complete reply within 0\.3 s: .*turn_timeout_s"):
        run(INPUT, context={"turn_timeout_s": 0.3})


def test_an_unreachable_provider_is_named_as_the_cause(
    scripted: Scripted, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("GROQ_API_BASE", f"http://127.0.0.1:{port}")
    with pytest.raises(ModelError, match="cannot be reached"):
        run(INPUT)
