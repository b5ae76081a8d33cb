"""What a client of the OpenAI-compatible API sees of a run besides its text: headers, keep-alive, a degraded answer."""

import uuid
from typing import Any

import httpx
import openai
import pytest

from testing.openai_api import QUESTION, Api, ask, streamed
from testing.scripted_groq import Reply, first, refine, synthesis

DEGRADED = [first("41"), Reply(status=400, error="No")]


def test_headers_come_at_once_and_comments_follow(api: Api) -> None:
    """The model sends nothing for longer than the interval of the comments."""
    api.groq.play([Reply(hang=True)])
    body = {"model": "llamaberry-quick", "messages": QUESTION, "stream": True}
    with httpx.stream("POST", f"{api.url}/chat/completions", json=body, timeout=120) as reply:
        api.groq.wait(1)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        lines = reply.iter_lines()  # a variable: the connection closes with the iterator
        assert next(lines) == ": keep-alive"
        assert api.groq.open_requests == 1


def test_a_stream_with_comments_is_read_by_openais_client(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([Reply(first("42"), delay=5.5)])
    assert streamed(client, model="llamaberry-quick")[1] == "42"


def test_every_response_has_an_id(api: Api) -> None:
    requests: list[tuple[str, str, Any]] = [
        ("GET", "models", None),
        ("GET", "nothing", None),
        ("GET", "chat/completions", None),
        ("POST", "chat/completions", {"model": "gpt-4o", "messages": QUESTION}),
        ("POST", "chat/completions", {"model": "llamaberry-quick", "messages": QUESTION}),
        ("POST", "chat/completions", {"model": "llamaberry-quick", "messages": QUESTION, "stream": True}),
    ]
    replies = [httpx.request(method, f"{api.url}/{path}", json=body) for method, path, body in requests]
    ids = [uuid.UUID(reply.headers["x-request-id"]) for reply in replies]
    assert len(set(ids)) == len(ids)
    assert replies[4].json()["id"] == f"chatcmpl-{ids[4]}"


def test_openais_client_logs_the_id_of_a_failed_run(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([Reply(status=401)])
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client)
    assert uuid.UUID(caught.value.request_id)


def test_a_degraded_reply_says_so_in_a_header_and_a_field(api: Api) -> None:
    api.groq.play(DEGRADED)
    reply = httpx.post(f"{api.url}/chat/completions", json={"model": "llamaberry", "messages": QUESTION}, timeout=120)
    body = reply.json()
    assert reply.headers["x-llamaberry-degraded"] == "true"
    assert body["degraded"].startswith("Turn 2 failed, and the turns before it stand")
    assert body["choices"][0]["message"]["reasoning_content"].endswith(f"\n\n# degraded\n\n{body['degraded']}")


def test_a_degraded_stream_says_so_in_its_last_chunk(api: Api, client: openai.OpenAI) -> None:
    api.groq.play(DEGRADED)
    *chunks, last = streamed(client)[2]
    assert last.degraded.startswith("Turn 2 failed")
    assert not any(hasattr(chunk, "degraded") for chunk in chunks)


def test_a_complete_run_is_not_called_degraded(api: Api) -> None:
    reply = httpx.post(f"{api.url}/chat/completions", json={"model": "llamaberry", "messages": QUESTION}, timeout=120)
    assert "degraded" not in reply.json()
    assert "x-llamaberry-degraded" not in reply.headers


def test_reasoning_tokens_are_those_outside_the_answer(api: Api, client: openai.OpenAI) -> None:
    """By the answer's share of the synthesis; the provider's own count of hidden thoughts is not in the text."""
    usage = {"prompt_tokens": 100, "completion_tokens": 1000, "total_tokens": 1100}
    hidden = usage | {"completion_tokens_details": {"reasoning_tokens": 600}}
    answer = "x" * 500
    last = synthesis(answer)
    api.groq.play([Reply(t, usage=usage) for t in (first(), refine(), refine())] + [Reply(last, usage=hidden)])
    total = ask(client).usage
    expected = round(400 * len(answer) / len(last))
    assert total.completion_tokens - total.completion_tokens_details.reasoning_tokens == expected
