"""Time to the answer: the wall time, calls and billed tokens of a run with the check, compared with the plain loop.

The plain loop makes four calls. A run that the program confirms makes two, the second of which writes a short program;
a corrected one makes three, and one without a program five, one of them short. A delay per call counts calls only; with
a time per token, too, a short reply takes less time, as it does with a real model. "parallel" is a confirmed answer
whose program is written in parallel with the first turn.

Billed prompt tokens are the uncached ones and half of the cached ones, as Groq bills them, in a run after one on
another question, with a cache that keeps prompts only.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from groq import AsyncGroq

from benchmarks import baseline
from benchmarks.measure import Json, Run, interleaved
from benchmarks.overhead import QUESTION
from benchmarks.server import OUTCOMES, model, reply_to
from benchmarks.tokens import QUESTIONS, render, uncached_chars
from llamaberry import Context, graph
from llamaberry.graph.reply import parse_synthesis
from testing.scripted_groq import Request, ScriptedGroq

LATENCIES_MS = (50, 200, 1000)
TOKENS_PER_S = (0, 500)
"""0: a reply of any length comes at once, after the delay."""
TASKS = ("gsm_symbolic", "letter_counting", "calendar_arithmetic", "products", "chain_sum", "basic_arithmetic")
LOCAL_SEED, LOCAL_MAX_TOKENS = 106, 512


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Measure each latency, each speed of tokens, and each outcome of the check; count the tokens of each outcome."""
    rows = []
    async with AsyncGroq() as client:
        for latency_ms in LATENCIES_MS[:1] if quick else LATENCIES_MS:
            for tokens_per_s in TOKENS_PER_S:
                log(f"answer: {latency_ms} ms, {tokens_per_s or 'all'} tokens/s")
                variants: dict[str, Run] = {"baseline": _plain(client, model(latency_ms, tokens_per_s))}
                variants |= {name: _ours(model(latency_ms, tokens_per_s, name)) for name in OUTCOMES}
                variants["parallel"] = _ours(model(latency_ms, tokens_per_s), verify="parallel")
                cost = await interleaved(variants, rounds=1 if quick else 3 if latency_ms == 1000 else 7)
                rows.append({"latency_ms": latency_ms, "tokens_per_s": tokens_per_s, **cost})
    return {"times": rows, "tokens": {name: await count_tokens(name) for name in ("baseline", *OUTCOMES)}}


def _plain(client: AsyncGroq, name: str) -> Run:
    return lambda: baseline.answer(client, QUESTION, model=name)


def _ours(name: str, **settings: Any) -> Run:
    return lambda: graph.ainvoke({"query": QUESTION}, context=Context(model=f"groq:{name}", **settings))


async def measure_local(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Answer generated questions with the local model, one after another, each in the plain loop and in the graph."""
    from openai import AsyncOpenAI

    from llamaberry.evaluation.data import generate
    from llamaberry.models.local.server import server

    local, rows = server(), []
    cases = generate(TASKS[:1] if quick else TASKS, size=1, seed=LOCAL_SEED).cases
    async with AsyncOpenAI(base_url=local.base_url, api_key=local.api_key, max_retries=0, timeout=3600) as client:
        for case in cases:
            log(f"answer: the local model, {case.task}")
            row: Json = {"task": case.task}
            started_at = time.perf_counter()
            replies = await baseline.answer(client, case.question, model="local", max_tokens=LOCAL_MAX_TOKENS)
            answer = parse_synthesis(replies[-1].text).concise
            row["baseline"] = _local(started_at, len(replies), case.check, answer)
            for name, settings in {"ours": {}, "parallel": {"verify": "parallel"}}.items():
                started_at = time.perf_counter()
                limits = {"max_tokens": LOCAL_MAX_TOKENS, "turn_timeout_s": 3600}
                context = Context.model_validate({"model": "local", **limits, **settings})
                result = await graph.ainvoke({"query": case.question}, context=context)
                answer = result["concise_answer"]
                row[name] = _local(started_at, result["usage"]["calls"], case.check, answer)
            rows.append(row)
    return {"local": rows}


def _local(started_at: float, calls: int, check: Callable[[str], bool] | None, answer: str | None) -> Json:
    seconds = time.perf_counter() - started_at
    return {"seconds": round(seconds, 1), "calls": calls, "right": bool(check and answer and check(answer))}


async def count_tokens(variant: str) -> Json:
    """Return the calls and tokens of a run, "baseline" or an outcome of the check, after one on another question."""
    prompts, replies = list[str](), list[str]()

    def script(request: Request) -> str:
        prompts.append(render(request.messages))
        replies.append(reply_to(request, outcome=variant))
        return replies[-1]

    before = os.environ["GROQ_API_BASE"]
    with ScriptedGroq(script, script, keep_alive=False) as groq:
        for question in QUESTIONS[:2]:
            start = len(prompts)
            if variant == "baseline":
                async with AsyncGroq(base_url=groq.url) as client:
                    await baseline.answer(client, question, model="scripted")
            else:
                os.environ["GROQ_API_BASE"] = groq.url
                context: Any = Context(model="groq:scripted")
                await graph.ainvoke({"query": question}, context=context)
                os.environ["GROQ_API_BASE"] = before
    sent = sum(map(len, prompts[start:])) / 4
    uncached = sum(uncached_chars(prompts[index], prompts[:index]) for index in range(start, len(prompts))) / 4
    return {
        "calls": len(prompts) - start,
        "sent": round(sent),
        "billed": round(uncached + (sent - uncached) / 2),
        "output": sum(map(len, replies[start:])) // 4,
    }
