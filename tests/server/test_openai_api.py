"""The OpenAI-compatible API of a real server, through OpenAI's own client."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llamaberry.presets import PRESETS
from testing.command import LIMIT_S, llamaberry
from testing.openai_api import QUESTION, Api, ask, error_fields, message_of, streamed
from testing.scripted_groq import Reply, Request, first, refine, synthesis
from testing.server import ROOT, serve, server_environment

ANSWER = "It is **42**."
FLIPPED = [first("41"), refine("42", "revise"), refine("42"), synthesis(ANSWER, "42")]


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server without a key and a local model, as in a fresh clone."""
    home = tmp_path_factory.mktemp("keyless")
    with serve(server_environment(home), home / "log") as address:
        yield f"{address}/v1", home


def test_content_is_the_answer_and_reasoning_the_turns(api: Api, client: openai.OpenAI) -> None:
    api.groq.play(FLIPPED)
    reply = ask(client)
    (choice,) = reply.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", ANSWER, "stop")
    headings = re.findall(r"^# (turn \d|synthesis)$", choice.message.reasoning_content, re.MULTILINE)
    assert headings == ["turn 1", "turn 2", "turn 3", "synthesis"]
    assert choice.message.reasoning_content.startswith("# turn 1\n\n## Reasoning\n1. ")
    assert all(text in choice.message.reasoning_content for text in FLIPPED)
    assert (reply.object, reply.model, reply.id[:9]) == ("chat.completion", "llamaberry", "chatcmpl-")
    assert abs(reply.created - time.time()) < 60


def test_a_stream_sends_the_turns_before_the_answer(api: Api, client: openai.OpenAI) -> None:
    api.groq.play(FLIPPED)
    expected = ask(client).choices[0].message.reasoning_content
    api.groq.play(FLIPPED)
    reasoning, content, chunks = streamed(client)
    assert (reasoning, content) == (expected, ANSWER)
    assert len({chunk.id for chunk in chunks}) == len({chunk.created for chunk in chunks}) == 1
    assert {(chunk.object, chunk.model) for chunk in chunks} == {("chat.completion.chunk", "llamaberry")}
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [bool(chunk.choices[0].delta.content) for chunk in chunks[-2:]] == [True, False]
    assert not any(chunk.choices[0].delta.content for chunk in chunks[:-2])
    assert len(chunks) > 50


async def test_the_first_turn_streams_before_the_second_starts(api: Api) -> None:
    api.groq.play([first(), Reply(hang=True)])
    async with openai.AsyncOpenAI(base_url=api.url, api_key="any") as client:
        text = ""
        async with await client.chat.completions.create(model="llamaberry", messages=QUESTION, stream=True) as stream:
            async for chunk in stream:
                text += getattr(chunk.choices[0].delta, "reasoning_content", "")
                if text.endswith(first()):
                    break
            await asyncio.to_thread(api.groq.wait, 1)
    await asyncio.to_thread(api.groq.wait, 0)


def test_usage_is_the_sum_of_all_calls(api: Api, client: openai.OpenAI) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    cached = usage | {"prompt_tokens_details": {"cached_tokens": 900}}
    script = [Reply(FLIPPED[0], usage=usage), *(Reply(text, usage=cached) for text in FLIPPED[1:])]
    no_program = [Reply("NONE", usage=usage)]
    api.groq.play(script, no_program)
    total = ask(client).usage
    assert (total.prompt_tokens, total.completion_tokens, total.total_tokens) == (5000, 50, 5050)
    assert total.prompt_tokens_details.cached_tokens == 2700
    api.groq.play(script, no_program)
    *chunks, last = streamed(client, stream_options={"include_usage": True})[2]
    assert (last.usage, last.choices) == (total, [])
    api.groq.play(script, no_program)
    assert not any(chunk.usage for chunk in [*chunks, *streamed(client)[2]])


def test_the_models_are_the_presets(api: Api, client: openai.OpenAI) -> None:
    models = ["llamaberry", "llamaberry-quick", "llamaberry-careful"]
    assert [model.id for model in client.models.list()] == models
    card: Any = client.models.retrieve("llamaberry-quick")
    assert (card.owned_by, card.description) == ("llamaberry", PRESETS["quick"].description)


@pytest.mark.parametrize(
    ("model", "script", "answer"),
    [
        ("llamaberry", [first(), refine(), refine(), synthesis("S", "42")], "S"),
        ("llamaberry-quick", [first("17")], "17"),
        ("llamaberry-careful", [first("1"), *(refine(n) for n in "2345"), synthesis("S")], "S"),
        ("llamaberry-careful", [first("1"), first("1")], "1"),
    ],
)
def test_a_preset_makes_the_documented_calls(
    api: Api, client: openai.OpenAI, model: str, script: list[str], answer: str
) -> None:
    api.groq.play(script)
    assert ask(client, model=model).choices[0].message.content == answer
    assert len(api.groq.requests) == len(script)


def test_earlier_messages_are_context_for_the_last_question(api: Api, client: openai.OpenAI) -> None:
    """As chat interfaces send it: with a system prompt, content parts, tool messages, and fields that are ignored."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Speak like a sailor."},
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": "Call me Ann."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "noted"},
        {"role": "assistant", "content": [{"type": "text", "text": "Aye, Ann."}]},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "What is 6 x 7?"}]},
    ]
    ask(client, messages, user="u", seed=1, top_p=0.5, stop=["x"], tools=[{"type": "function"}], tool_choice="auto")
    roles, texts = zip(*((m["role"], m["content"]) for m in api.groq.requests[0].messages), strict=True)
    assert roles == ("system", "system", "system", "user", "assistant", "user")
    assert texts[1:5] == ("Speak like a sailor.", "Be short.", "Call me Ann.", "Aye, Ann.")
    assert texts[5].startswith("What is 6 x 7?\n\nThis is the first turn.")
    assert len(api.groq.requests) == 4


def test_an_unknown_model_is_refused_with_the_valid_names(client: openai.OpenAI) -> None:
    for call in (lambda: ask(client, model="gpt-4o"), lambda: client.models.retrieve("gpt-4o")):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert error_fields(caught.value) == (404, "invalid_request_error", "model_not_found", "model")
        assert "llamaberry, llamaberry-quick, llamaberry-careful" in message_of(caught.value)


@pytest.mark.parametrize(
    ("reply", "calls", "error", "kind", "code"),
    [
        (Reply(status=503), 3, openai.InternalServerError, "server_error", "model_failed"),
        (Reply(cut=-1), 3, openai.InternalServerError, "server_error", "model_failed"),
        (Reply(status=401), 1, openai.InternalServerError, "server_error", "model_failed"),
        (Reply(status=413), 1, openai.BadRequestError, "invalid_request_error", "model_failed"),
        (
            Reply(status=429, headers={"retry-after": "99.5"}),
            1,
            openai.RateLimitError,
            "rate_limit_error",
            "rate_limit",
        ),
    ],
    ids=["down", "cut", "key refused", "too large", "rate limit"],
)
def test_a_provider_error_has_the_command_lines_message(
    api: Api, client: openai.OpenAI, reply: Reply, calls: int, error: type[openai.APIStatusError], kind: str, code: str
) -> None:
    """The client does not retry, because the graph has done so."""
    api.groq.play([reply] * 3)
    with pytest.raises(error) as caught:
        ask(client)
    assert len(api.groq.requests) == calls
    status = {"rate_limit_error": 429, "invalid_request_error": 400}.get(kind, 502)
    assert error_fields(caught.value)[:2] == (status, kind)
    assert error_fields(caught.value)[2].startswith(code)
    assert caught.value.response.headers.get("retry-after") == ("100" if status == 429 else None)
    api.groq.play([reply] * 3)
    run = llamaberry("ask", "-q", "Q", GROQ_API_KEY="gsk_test", GROQ_API_BASE=api.groq.url)
    assert run.stderr.startswith(f"llamaberry: {message_of(caught.value)}")
    api.groq.play([reply] * 3)
    with pytest.raises(openai.APIError) as streamed_error:
        streamed(client)
    assert len(api.groq.requests) == calls
    assert streamed_error.value.body == caught.value.body


@pytest.mark.parametrize("stream", [False, True])
def test_a_missing_key_has_the_command_lines_message(keyless: tuple[str, Path], stream: bool) -> None:
    address, home = keyless
    with openai.OpenAI(base_url=address, api_key="any") as client:
        assert len(list(client.models.list())) == 3
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client, stream=stream)
    assert error_fields(caught.value) == (503, "server_error", "not_set_up", None)
    assert llamaberry("ask", "-q", "Q", LLAMABERRY_HOME=str(home)).stderr == f"llamaberry: {message_of(caught.value)}\n"


def test_a_page_of_another_port_reads_the_headers_for_retries(api: Api) -> None:
    """Without them, OpenAI's client in a browser repeats a failed run."""
    api.groq.play([Reply(status=429, headers={"retry-after": "99"})])
    body = {"model": "llamaberry-quick", "messages": QUESTION}
    reply = httpx.post(f"{api.url}/chat/completions", json=body, headers={"origin": "http://localhost:5173"})
    exposed = set(reply.headers["access-control-expose-headers"].split(", "))
    langgraphs_own = {"x-pagination-total", "x-pagination-next", "content-location"}
    assert {"x-should-retry", "retry-after", "x-request-id"} | langgraphs_own <= exposed
    assert (reply.headers["x-should-retry"], reply.headers["retry-after"]) == ("false", "99")
    assert reply.headers["access-control-allow-origin"] == "*"


def test_an_error_in_a_stream_ends_it_and_is_raised(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([Reply(error_event="The model fell over")] * 2 + [Reply(first(), cut=9)])
    text = ""
    stream = ask(client, stream=True)
    with pytest.raises(openai.APIError, match="groq:openai/gpt-oss-120b broke off") as caught:  # noqa: PT012
        for chunk in stream:
            text += chunk.choices[0].delta.reasoning_content  # there is no other delta
    assert error_fields(caught.value) == (None, "server_error", "model_failed", None)
    assert text.startswith("# turn 1, attempt 3\n\n## Reasoning")


def test_a_degraded_run_answers_and_names_what_is_missing(api: Api, client: openai.OpenAI) -> None:
    script = [first("41"), Reply(status=400, error="No")]
    api.groq.play(script)
    choice = ask(client).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("41", "stop")
    reason = "Turn 2 failed, and the turns before it stand: groq:openai/gpt-oss-120b answered 400"
    assert choice.message.reasoning_content.rpartition("\n\n")[2].startswith(reason)
    api.groq.play(script)
    assert streamed(client)[:2] == (choice.message.reasoning_content, "41")


@pytest.mark.parametrize(
    ("model", "script"),
    [
        ("llamaberry", [first(), refine(), refine(), Reply(synthesis("S"), finish_reason="length")]),
        ("llamaberry-quick", [Reply(first(), finish_reason="length")]),
    ],
)
def test_a_truncated_answer_finishes_with_length(
    api: Api, client: openai.OpenAI, model: str, script: list[Any]
) -> None:
    api.groq.play(script)
    assert ask(client, model=model).choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", [[Reply(hang=True)], [first(), Reply(hang=True)]], ids=["first", "second call"])
async def test_a_disconnected_client_cancels_the_run(api: Api, script: list[Any], stream: bool) -> None:
    api.groq.play(script)
    before = api.groq.disconnects
    async with openai.AsyncOpenAI(base_url=api.url, api_key="any") as client:

        async def go() -> None:
            reply = await client.chat.completions.create(model="llamaberry", messages=QUESTION, stream=stream)
            async for _ in reply:
                pass

        asking = asyncio.create_task(go())
        while len(api.groq.requests) < len(script):
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait([asking])
    await asyncio.to_thread(api.groq.wait, 0)
    assert api.groq.disconnects == before + 1
    await asyncio.sleep(1)  # no retry and no next turn follows
    assert len(api.groq.requests) == len(script)


async def test_two_concurrent_requests_get_their_own_answers(api: Api) -> None:
    """While both wait for the model, the server answers other requests at once."""

    def script(request: Request) -> Reply:
        name = re.findall(r"Ann|Bob", json.dumps(request.messages))[0]
        prompt = str(request.messages[-1]["content"])
        write: Any = synthesis if "Concise" in prompt else refine if "Verdict" in prompt else first
        return Reply(write(name), delay=5 if write is first else 0)

    api.groq.play(script)
    async with openai.AsyncOpenAI(base_url=api.url, api_key="any") as client:

        async def one(name: str) -> Any:
            return await client.chat.completions.create(
                model="llamaberry", messages=[{"role": "user", "content": f"I am {name}. Who am I?"}]
            )

        both = asyncio.gather(one("Ann"), one("Bob"))
        await asyncio.to_thread(api.groq.wait, 2)
        await client.models.list()
        assert len(api.groq.requests) == 2  # both still wait for their first reply
        replies = await both
    assert [reply.choices[0].message.content for reply in replies] == ["Ann", "Bob"]
    assert "Bob" not in replies[0].choices[0].message.reasoning_content


def test_the_graph_does_not_load_the_api() -> None:
    code = "import sys, llamaberry; llamaberry.graph; print({'starlette', 'openai'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_the_snippets_of_the_docs_run(api: Api) -> None:
    page = (ROOT / "docs" / "openai.md").read_text(encoding="utf-8").replace("http://127.0.0.1:2024", api.address)
    (shell, *_), (code, *_) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("sh", "python"))
    for command in (["bash", "-euc", shell], [sys.executable, "-c", code]):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert (ran.returncode, "The answer is 42." in ran.stdout) == (0, True), ran
