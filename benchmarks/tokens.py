"""Tokens: what a run sends, and what of it no prefix cache serves, beside the plain loop.

On the scripted Groq a token is four characters, and a prompt is served up to its longest common prefix with what is
kept of any earlier call, in whole blocks of sixteen tokens, as inference servers do it. Kept are the prompts, which is
the least that a provider with a prefix cache keeps; or the replies to them as well, as llama.cpp and vLLM do. On the
real local model the counters are the server's own, and the replies of both are cut at the same length, so that their
wall times compare.
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

BLOCK = 16 * 4
REFINES = (2, 4, 6, 9)
LOCAL_REFINES = (2, 2, 4, 9)
"""The first runs of all find an empty cache, the later ones that of another question."""
LOCAL_TOKENS = 160
"""Of each reply of the local model: it writes more of its own accord, so that nearly every reply is cut there."""
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


async def measure(*, quick: bool, say: Callable[[str], None]) -> Json:
    """Count on the scripted Groq, for short, middling and long replies."""
    rows = []
    before = os.environ["GROQ_API_BASE"]
    try:
        for length in (400,) if quick else (200, 400, 700):
            for refines in (2,) if quick else REFINES:
                say(f"tokens: {refines} refine turns, replies of {length}")
                row: Json = {"refine_turns": refines, "reply_tokens": length}
                for name, ask in (("baseline", _ask_plainly), ("ours", _ask_graph)):
                    row[name] = await _counted(ask, refines + 1, length)
                rows.append(row)
    finally:
        os.environ["GROQ_API_BASE"] = before
    return {"scripted": rows}


async def _ask_plainly(url: str, question: str, turns: int) -> None:
    from groq import AsyncGroq

    async with AsyncGroq(base_url=url) as client:
        await baseline.answer(client, question, model="scripted", turns=turns)


async def _ask_graph(url: str, question: str, turns: int) -> None:
    os.environ["GROQ_API_BASE"] = url
    await graph.ainvoke({"query": question}, context=Context(model="groq:scripted", max_turns=turns))


async def _counted(ask: Any, turns: int, length: int) -> Json:
    """Count two runs: the first that a provider sees, and one of another question after it."""
    prompts, whole = list[str](), list[str]()

    def script(request: Request) -> str:
        prompts.append(_rendered(request.messages))
        reply = reply_to(request, length)
        whole.append(f"{prompts[-1]}{reply}<|end|>")
        return reply

    counted: Json = {}
    with ScriptedGroq(script, keep_alive=False) as groq:
        for name, question in zip(("first", "later"), QUESTIONS, strict=False):
            seen = len(prompts)
            await ask(groq.url, question, turns)
            counted["sent"] = sum(map(len, prompts[seen:])) // 4
            for kept, earlier in (("prompts", prompts), ("replies", whole)):
                unserved = (_unserved(prompts[place], earlier[:place]) for place in range(seen, len(prompts)))
                counted[f"{name}_{kept}"] = sum(unserved) // 4
    return counted


def _rendered(messages: Sequence[Json]) -> str:
    """Return a prompt as a chat template writes it."""
    return "".join(f"<|{message['role']}|>{message['content']}<|end|>" for message in messages) + "<|assistant|>"


def _unserved(prompt: str, kept: Sequence[str]) -> int:
    served = max((_common(prompt, earlier) for earlier in kept), default=0)
    return len(prompt) - served // BLOCK * BLOCK


def _common(one: str, other: str) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


async def measure_local(*, quick: bool, say: Callable[[str], None]) -> Json:
    """Ask the real local model, in one slot: both ways in turns, each with the server's own counters."""
    os.environ["LLAMABERRY_LOCAL_SLOTS"] = "1"
    from openai import AsyncOpenAI

    from llamaberry.models.local.server import server

    local = server()
    length = 64 if quick else LOCAL_TOKENS
    rows = []
    async with AsyncOpenAI(base_url=local.base_url, api_key=local.api_key, max_retries=0, timeout=3600) as client:
        for place, refines in enumerate((1,) if quick else LOCAL_REFINES):
            question, another = QUESTIONS[2 * place : 2 * place + 2]
            say(f"tokens: the local model, {refines} refine turns")
            begun = time.perf_counter()
            replies = await baseline.answer(client, question, model="local", turns=refines + 1, max_tokens=length)
            usages = [reply.usage.model_dump() for reply in replies]
            plain = _local_row([_of_openai(usage) for usage in usages], time.perf_counter() - begun)
            begun = time.perf_counter()
            context = Context(model="local", max_turns=refines + 1, max_tokens=length, turn_timeout_s=3600)
            result = await graph.ainvoke({"query": another}, context=context)
            usages = [call["usage"] for call in result["calls"]]
            ours = _local_row([_of_langchain(usage) for usage in usages], time.perf_counter() - begun)
            run = "later" if place else "first"
            rows.append({"run": run, "refine_turns": refines, "baseline": plain, "ours": ours})
    return {"reply_tokens": length, "local": rows}


def _of_openai(usage: Json) -> tuple[int, int, int]:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return usage["prompt_tokens"], cached, usage["completion_tokens"]


def _of_langchain(usage: Json) -> tuple[int, int, int]:
    cached = usage.get("input_token_details", {}).get("cache_read", 0)
    return usage["input_tokens"], cached, usage["output_tokens"]


def _local_row(calls: Sequence[tuple[int, int, int]], seconds: float) -> Json:
    sent, cached, written = (sum(column) for column in zip(*calls, strict=True))
    return {"sent": sent, "uncached": sent - cached, "output": written, "seconds": round(seconds, 2)}
