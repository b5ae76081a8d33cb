"""Which models and how many tokens the callers of a server may choose; in a process of one's own nothing is limited."""

from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from llamaberry import Context, SetupError, build_graph, graph
from llamaberry.models.limits import check_limits, limit_callers, max_calls, max_tokens_allowed, with_limits
from testing.scripted_groq import Scripted, ScriptedGroq, first, program, synthesis

QUESTION = {"query": "What is 6 x 7?"}


@pytest.fixture
def serving() -> Iterator[None]:
    """This process is a server."""
    with limit_callers():
        yield


@pytest.mark.parametrize(
    ("models", "allowed", "refused"),
    [
        (None, ["auto", "local", "groq:a", "GROQ:a/b", "a/b"], ["openai:gpt-4o", "google_genai:g", "groqx:a"]),
        (" ", ["auto", "local", "groq:a"], ["openai:gpt-4o", "openai:groq:a"]),
        ("openai:gpt-4o, local", ["openai:gpt-4o", "OpenAI:gpt-4o", "local"], ["groq:a", "openai:gpt-4o-mini"]),
        ("auto", ["auto", "openai/gpt-oss-120b", "groq:openai/gpt-oss-120b"], ["local", "groq:openai/gpt-oss-20b"]),
        ("openai:gpt-*", ["openai:gpt-4o"], ["openai:o1", "gpt-4o", "auto"]),
        ("*", ["auto", "openai:gpt-4o"], []),
    ],
)
def test_the_operator_lists_the_models(
    serving: None, monkeypatch: pytest.MonkeyPatch, models: str | None, allowed: list[str], refused: list[str]
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    if models is not None:
        monkeypatch.setenv("LLAMABERRY_MODELS", models)
    for model in allowed:
        for field in ("model", "refine_model", "verify_model", "synthesis_model"):
            check_limits(Context(**{"model": allowed[0], field: model}))
    for model in refused:
        for field in ("model", "refine_model", "verify_model", "synthesis_model"):
            with pytest.raises(SetupError, match=rf"{field} '{model}' is not allowed .*LLAMABERRY_MODELS"):
                check_limits(Context(**{"model": allowed[0], field: model}))


@pytest.mark.parametrize(
    ("models", "model"),
    [
        ("groq:a, groq:b", "groq:a"),
        ("openai:*, local", "local"),
        ("groq:*", "auto"),
        ("openai:*", "auto"),
    ],
)
def test_auto_is_the_first_allowed_model(
    serving: None, monkeypatch: pytest.MonkeyPatch, models: str, model: str
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    monkeypatch.setenv("LLAMABERRY_MODELS", models)
    assert with_limits(Context()).model == model


@pytest.mark.parametrize(
    ("limit", "settings", "max_tokens"),
    [
        ("", {}, 35_714),
        ("", {"max_turns": 10, "max_tokens": 17_857}, 17_857),
        ("", {"max_turns": 10, "verify": "none", "max_tokens": 22_727}, 22_727),
        ("", {"max_turns": 1, "max_tokens": 65_536}, 250_000),
        ("1000", {"max_turns": 2, "max_tokens": 166}, 166),
    ],
)
def test_the_tokens_of_a_run_are_limited(
    serving: None, monkeypatch: pytest.MonkeyPatch, limit: str, settings: dict[str, Any], max_tokens: int
) -> None:
    monkeypatch.setenv("LLAMABERRY_MAX_TOKENS_PER_RUN", limit)
    context = Context(**settings)
    check_limits(context)
    assert max_tokens_allowed(context) == max_tokens
    if max_tokens < 65_536:
        with pytest.raises(
            SetupError, match=rf"{max_tokens + 1:,} in .*lower max_tokens to {max_tokens:,}, or max_turns"
        ):
            check_limits(context.model_copy(update={"max_tokens": max_tokens + 1}))


@pytest.mark.parametrize("value", ["many", "0", "-1", "nan", "inf"])
@pytest.mark.parametrize("limit", ["LLAMABERRY_MAX_TOKENS_PER_RUN", "LLAMABERRY_MAX_COST_USD"])
def test_a_limit_that_is_no_number_is_an_error(
    serving: None, monkeypatch: pytest.MonkeyPatch, limit: str, value: str
) -> None:
    monkeypatch.setenv(limit, value)
    with pytest.raises(SetupError, match=f"{limit} is '{value}'"):
        check_limits(Context())


@pytest.mark.parametrize(("own", "effective"), [(None, 0.5), (0.5, 0.5), (0.25, 0.25)])
def test_callers_may_lower_the_cost_of_a_run(
    serving: None, monkeypatch: pytest.MonkeyPatch, own: float | None, effective: float
) -> None:
    context = Context(max_cost_usd=own)
    assert with_limits(context) == context
    monkeypatch.setenv("LLAMABERRY_MAX_COST_USD", "0.5")
    check_limits(context)
    assert with_limits(context) == Context(max_cost_usd=effective)
    with pytest.raises(SetupError, match=r"max_cost_usd 0\.6 is more than the 0\.5 US dollars .* leave it out"):
        check_limits(Context(max_cost_usd=0.6))


def test_a_server_that_limits_the_cost_needs_the_price(
    serving: None, groq: ScriptedGroq, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.invoke(QUESTION, context=Context(model="groq:no/such-model", max_turns=1))
    monkeypatch.setenv("LLAMABERRY_MAX_COST_USD", "0.5")
    with pytest.raises(SetupError, match=r"0\.5: the price of groq:no/such-model is not known; choose another model"):
        graph.invoke(QUESTION, context=Context(model="groq:no/such-model", max_turns=1))
    assert len(groq.requests) == 1


@pytest.mark.parametrize(("verify", "calls"), [("program", 7), ("none", 4)])
def test_a_run_makes_as_many_calls_as_are_counted(scripted: Scripted, verify: Any, calls: int) -> None:
    """At most: its program fails, is repaired, and is written once more."""
    rejection = f"Program: wrong.\n\n{first('42')}"
    programs = [program("print(1 / 0)"), program("print(6 * 7 - 1)"), program("print(6 * 7 - 1)")]
    groq = scripted([first("42"), rejection, rejection, synthesis()], programs)
    context = Context(max_turns=3, verify=verify)
    graph.invoke(QUESTION, context=context)
    assert len(groq.requests) + len(groq.program_requests) == max_calls(context) == calls
    assert max_calls(Context(max_turns=1, verify=verify)) == 1


def test_a_server_refuses_before_the_first_call(serving: None, groq: ScriptedGroq) -> None:
    for settings in ({"model": "openai:gpt-4o"}, {"synthesis_model": "openai:gpt-4o"}, {"max_tokens": 65_536}):
        with pytest.raises(SetupError, match=r"LLAMABERRY_M"):
            graph.invoke(QUESTION, context=Context(**settings))
    assert groq.requests == []


def test_a_server_refuses_other_settings_at_a_checkpoint(groq: ScriptedGroq) -> None:
    """A run goes on with the settings of the request that resumes it."""
    threads = build_graph(InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with limit_callers():
        threads.invoke(QUESTION, thread, context=Context(max_turns=2), interrupt_before=["synthesize"])
        calls = len(groq.requests)
        with pytest.raises(SetupError, match="model 'openai:gpt-4o' is not allowed"):
            threads.invoke(None, thread, context=Context(model="openai:gpt-4o"))
    assert len(groq.requests) == calls


def test_nothing_is_limited_in_a_process_of_ones_own(groq: ScriptedGroq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_MODELS", "local")
    monkeypatch.setenv("LLAMABERRY_MAX_COST_USD", "0.5")
    with limit_callers():
        pass
    assert with_limits(Context()) == Context()
    check_limits(Context(model="openai:gpt-4o", max_turns=10, max_tokens=65_536))
    assert graph.invoke(QUESTION, context=Context(max_tokens=65_536, max_turns=2))["answer"]


def test_a_turn_with_tools_may_take_several_calls(serving: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_MAX_TOKENS_PER_RUN", "1000")
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    context = Context(max_turns=1, max_tool_calls=4, max_tokens=250)
    check_limits(context)
    with pytest.raises(SetupError, match=r"250 in up to 5 calls .*: lower max_tokens to 200, or max_tool_calls"):
        build_graph(tools=[len_of]).invoke(QUESTION, context=context)


def len_of(text: str) -> int:
    """Return the length of a text."""
    return len(text)
