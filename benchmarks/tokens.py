"""Tokens: the prompt tokens that a run sends, and those that a prefix cache cannot serve; compared with the plain loop.

On the scripted Groq a token is four characters. A simulated cache serves a prompt's longest common prefix with any
earlier call in whole blocks of sixteen tokens, as inference servers do. It keeps the prompts only (the minimum of a
prefix cache), or the replies too (as llama.cpp and vLLM do). On the real local model the counts are the server's own,
and all replies have the same token limit, so that the wall times are comparable.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import baseline
from benchmarks.measure import Json
from benchmarks.server import reply_to
from llamaberry import Context, graph
from testing.scripted_groq import Request, ScriptedGroq

BLOCK_CHARS = 16 * 4
REFINES = (2, 4, 6, 9)
LOCAL_REFINES = (2, 2, 4, 9)
"""The first run has an empty cache, the later ones that of another question."""
LOCAL_MAX_TOKENS = 160
"""The token limit of the local model's replies; nearly all of them reach it."""
QUESTIONS = (
    "A train leaves at 9:40 and arrives at 13:05 with a stop of 25 minutes. How long does it move?",
    "A tank holds 240 litres. Pump A fills it in 6 hours, pump B in 4. How long do both take together?",
    "Three friends share 84 euros so that each gets twice as much as the next. How much does each of them get?",
    "A rectangle is 8 cm by 5 cm. By how much does its area grow when both sides grow by a fifth?",
    "A shop takes 15 % off 80 euros, and then 10 % off what is left. What is to be paid in the end?",
    "How many whole numbers from 1 to 200 can be divided by 6, but not by 4?",
    "A recipe for 4 people takes 300 g of flour and 2 eggs. What does it take for 10 people?",
    "A car uses 6.5 litres for 100 km. How far does it get with 52 litres, and what does that cost at 1.80 a litre?",
)


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Count tokens on the scripted Groq, for short, medium and long replies."""
    rows = []
    before = os.environ["GROQ_API_BASE"]
    try:
        for length in (400,) if quick else (200, 400, 700):
            for refines in (2,) if quick else REFINES:
                log(f"tokens: {refines} refine turns, replies of {length}")
                row: Json = {"refine_turns": refines, "reply_tokens": length}
                for name, answer in (("baseline", _answer_plain), ("ours", _answer_graph)):
                    row[name] = await _count(answer, refines + 1, length)
                rows.append(row)
    finally:
        os.environ["GROQ_API_BASE"] = before
    return {"scripted": rows}


async def _answer_plain(url: str, question: str, turns: int) -> None:
    from groq import AsyncGroq

    async with AsyncGroq(base_url=url) as client:
        await baseline.answer(client, question, model="scripted", turns=turns)


async def _answer_graph(url: str, question: str, turns: int) -> None:
    os.environ["GROQ_API_BASE"] = url
    await graph.ainvoke({"query": question}, context=Context(model="groq:scripted", max_turns=turns, verify="none"))


async def _count(answer: Any, turns: int, length: int) -> Json:
    """Count the tokens of a first run, with an empty cache, and of a later run of another question."""
    prompts, conversations = list[str](), list[str]()

    def script(request: Request) -> str:
        prompts.append(render(request.messages))
        reply = reply_to(request, length)
        conversations.append(f"{prompts[-1]}{reply}<|end|>")
        return reply

    counts: Json = {}
    with ScriptedGroq(script, keep_alive=False) as groq:
        for name, question in zip(("first", "later"), QUESTIONS, strict=False):
            start = len(prompts)
            await answer(groq.url, question, turns)
            counts["sent"] = sum(map(len, prompts[start:])) // 4
            for content, cache in (("prompts", prompts), ("replies", conversations)):
                uncached = (uncached_chars(prompts[index], cache[:index]) for index in range(start, len(prompts)))
                counts[f"{name}_{content}"] = sum(uncached) // 4
    return counts


def render(messages: Sequence[Json]) -> str:
    """Return the messages in a chat template."""
    return "".join(f"<|{message['role']}|>{message['content']}<|end|>" for message in messages) + "<|assistant|>"


def uncached_chars(prompt: str, cache: Sequence[str]) -> int:
    """Return how many characters of a prompt no earlier one in the cache begins with, in whole blocks."""
    cached = max((_common_prefix_chars(prompt, earlier) for earlier in cache), default=0)
    return len(prompt) - cached // BLOCK_CHARS * BLOCK_CHARS


def _common_prefix_chars(one: str, other: str) -> int:
    differences = (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differences, min(len(one), len(other)))


async def measure_local(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Run both variants on the real local model with one slot, interleaved; the counts are the server's own."""
    os.environ["LLAMABERRY_LOCAL_SLOTS"] = "1"
    from openai import AsyncOpenAI

    from llamaberry.models.local.server import server

    local = server()
    length = 64 if quick else LOCAL_MAX_TOKENS
    rows = []
    async with AsyncOpenAI(base_url=local.base_url, api_key=local.api_key, max_retries=0, timeout=3600) as client:
        for index, refines in enumerate((1,) if quick else LOCAL_REFINES):
            question, other_question = QUESTIONS[2 * index : 2 * index + 2]
            log(f"tokens: the local model, {refines} refine turns")
            started_at = time.perf_counter()
            replies = await baseline.answer(client, question, model="local", turns=refines + 1, max_tokens=length)
            usages = [reply.usage.model_dump() for reply in replies]
            plain = _local_row([_from_openai(usage) for usage in usages], time.perf_counter() - started_at)
            started_at = time.perf_counter()
            settings = {"max_turns": refines + 1, "max_tokens": length, "turn_timeout_s": 3600}
            context = Context(model="local", verify="none", **settings)
            result = await graph.ainvoke({"query": other_question}, context=context)
            usages = [call["usage"] for call in result["calls"]]
            ours = _local_row([_from_langchain(usage) for usage in usages], time.perf_counter() - started_at)
            rows.append(
                {"run": "later" if index else "first", "refine_turns": refines, "baseline": plain, "ours": ours}
            )
    return {"reply_tokens": length, "local": rows}


def _from_openai(usage: Json) -> tuple[int, int, int]:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return usage["prompt_tokens"], cached, usage["completion_tokens"]


def _from_langchain(usage: Json) -> tuple[int, int, int]:
    cached = usage.get("input_token_details", {}).get("cache_read", 0)
    return usage["input_tokens"], cached, usage["output_tokens"]


def _local_row(calls: Sequence[tuple[int, int, int]], seconds: float) -> Json:
    sent, cached, output = (sum(column) for column in zip(*calls, strict=True))
    return {"sent": sent, "uncached": sent - cached, "output": output, "seconds": round(seconds, 2)}
