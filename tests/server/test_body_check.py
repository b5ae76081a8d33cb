"""What the body of a request may hold, on every route, and how that is found in a time that the body cannot set."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from llamaberry.models.limits import limit_callers
from llamaberry.server.body_check import MAX_LIST, MAX_SETTINGS, MAX_VALUES, PIECE_BYTES, check_body, count_values


@pytest.fixture(autouse=True)
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    with limit_callers():
        yield


def refusal(body: Any, path: str = "/runs") -> str | None:
    """Return the status, the code and the message of a body's error."""
    error = asyncio.run(check_body(path, body if isinstance(body, bytes) else json.dumps(body).encode()))
    return error and f"{error.status} {error.code} {error.message}"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", 0),
        ('"a, b, [c], {d}"', 0),
        (r'"a \", b \\"', 0),
        (r'["\\", "\"", "\\\"", 4]', 4),
        ('{"a": [1, 2, {"b": ","}], "c": "d"}', 6),
        (r'"\\\\\\", [', 2),
        ('"', 0),
        ("[" * 1000, 1000),
        ('""' * 1000, 0),
    ],
)
def test_values_are_counted_outside_of_strings(text: str, values: int) -> None:
    assert list(count_values(text.encode())) == ([values] if text else [])


@pytest.mark.parametrize("text", [r'["\\\\",", \\\" [",[', '["a", "\\\\\\"", [', '{"' + "\\" * 7 + '[": [1, ""]'])
def test_a_piece_may_end_anywhere(text: str) -> None:
    """In the middle of a string, of an escape, or of an escape of an escape."""
    expected = sum(count_values(text.encode()))
    for padding in range(len(text) + 1):
        before = '""'.ljust(PIECE_BYTES - padding)
        assert sum(count_values((before + text).encode())) == expected


def test_the_work_between_two_requests_is_bounded() -> None:
    """Other requests are served after each piece, also of a body that is all escapes or all quotes."""

    async def rounds(body: bytes) -> int:
        check = asyncio.ensure_future(check_body("/runs", body))
        number = 0
        while not check.done():
            number += 1
            await asyncio.sleep(0)
        return number

    for text in (b"\\" * 3, b'\\"', b'"', b"x"):
        assert asyncio.run(rounds(b'"' + text * (2_000_000 // len(text)) + b'"')) >= 2_000_000 // PIECE_BYTES
    assert asyncio.run(rounds(b"[" * 2_000_000)) <= 3, "it is refused at its first piece"


@pytest.mark.parametrize("path", ["/runs", "/v1/chat/completions", "/store/items", "/mcp", "/nowhere"])
def test_a_body_with_too_many_values_is_refused_unparsed(path: str) -> None:
    """It is no JSON, which a parser would say."""
    expected = "413 too_large the body has more than 20,000 values, the limit of this server"
    assert refusal(b"[1," * MAX_VALUES, path) == expected


def test_a_list_is_limited_at_any_depth() -> None:
    messages = [{"role": "user", "content": "Q"}] * (MAX_LIST + 1)
    for body in ({"input": {"messages": messages}}, messages, {"command": {"update": [["messages", messages]]}}):
        assert refusal(body) == "413 too_large a list in the body has 1,001 elements: the limit is 1,000"
    assert refusal({"input": {"messages": messages[1:]}}) is None
    assert refusal({"value": [0.5] * 4096}, "/store/items") is None


@pytest.mark.parametrize("body", [b"{", b"\xff", "3".encode("utf-16"), b"{} {", b'"\\ud800"', b"[" * 300])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Another parser may read it in another way."""
    assert (refusal(body) or "").startswith("400 invalid_request the body is not JSON: ")


@pytest.mark.parametrize("body", [b"", b" ", b"null", b"3", b"[]", b'{"params": []}', b'{"context": [], "config": 1}'])
def test_what_has_no_settings_passes(body: bytes) -> None:
    assert refusal(body) is None


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"max_turn": 1}, "context.max_turn: there is no such setting; did you mean max_turns?"),
        ({"api_key": "x"}, "context.api_key: there is no such setting; the settings are model, refine_model, "),
        ({"max_turns": 99}, "context.max_turns: 99 is refused: it should be less than or equal to 10"),
        ({"max_tokens": "many"}, "context.max_tokens: 'many' is refused: it should be a valid integer"),
        ({"system_prompt": "x" * 100_001}, "xxx is refused: it should have at most 100000 characters"),
        ({"model": "openai:gpt-4o"}, "context: model 'openai:gpt-4o' is not allowed on this server: choose one of "),
        ({"verify_model": "openai:o1"}, "context: verify_model 'openai:o1' is not allowed"),
        ({"max_tokens": 65_536}, "context: max_tokens 65,536 in up to 7 calls is more than the 250,000 tokens"),
        ({str(number): 1 for number in range(MAX_SETTINGS + 1)}, "context: it has 101 keys: the limit is 100"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_remedy(context: dict[str, Any], message: str) -> None:
    request = {"assistant_id": "llamaberry", "input": {"query": "Q"}, "context": context}
    for body in (request, [{}, request], {"method": "tools/call", "params": request}):
        reason = refusal(body) or ""
        assert reason.startswith("400 invalid_settings context")
        assert message in reason
        assert len(reason) < 400


LANGGRAPHS_KEYS = {
    "thread_id": "1", "run_id": "2", "checkpoint_id": "3", "checkpoint_ns": "", "checkpoint_map": {}, "user_id": "4",
    "assistant_id": "5", "graph_id": "6", "cron_id": "7", "langgraph_auth_user": {}, "langgraph_request_id": "8",
    "__pregel_resuming": True, "__request_start_time_ms__": 1, "x-header": "9", "hosts_own_key": "10",
}  # fmt: skip


@pytest.mark.parametrize(
    ("configurable", "message"),
    [
        ({"max_turn": 1}, "config.configurable.max_turn: there is no such setting; did you mean max_turns?"),
        ({"max_turns": 99}, "config.configurable.max_turns: 99 is refused: "),
        ({"model": "openai:gpt-4o"}, "config.configurable: model 'openai:gpt-4o' is not allowed"),
        ({"max_turns": 2}, None),
        ({}, None),
    ],
)
def test_a_configurable_may_have_keys_that_are_no_settings(configurable: dict[str, Any], message: str | None) -> None:
    reason = refusal({"config": {"configurable": LANGGRAPHS_KEYS | configurable}})
    assert (message in (reason or "")) if message else reason is None


@pytest.mark.parametrize(
    ("graphs", "request_fields", "refused"),
    [
        (None, {"assistant_id": "other"}, False),
        (None, {"graph_id": "other"}, False),
        (None, {}, True),
        ({"llamaberry": "…"}, {"assistant_id": "fe096781-5601-53d2-b2f6-0d3403f7e9ca"}, True),
        ({"llamaberry": "…", "other": "…"}, {"assistant_id": "fe096781-5601-53d2-b2f6-0d3403f7e9ca"}, False),
        ({"llamaberry": "…", "other": "…"}, {"assistant_id": "llamaberry"}, True),
    ],
)
def test_the_settings_of_another_graph_are_its_own(
    monkeypatch: pytest.MonkeyPatch, graphs: Any, request_fields: dict[str, str], refused: bool
) -> None:
    if graphs:
        monkeypatch.setenv("LANGSERVE_GRAPHS", json.dumps(graphs))
    assert bool(refusal({**request_fields, "context": {"colour": "red"}})) == refused
