"""The CPU of a run by layer: the plain loop, then one more layer at a time, up to the graph.

Every layer above the plain loop sends Llamaberry's exact messages, so the difference of two layers is the upper one's.
"""

import os
from collections.abc import Callable
from typing import Any

from groq import AsyncGroq
from langchain_core.language_models import BaseChatModel
from langchain_groq import ChatGroq
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from benchmarks.measure import Json, Run, interleaved
from benchmarks.overhead import QUESTION, ours, plain
from benchmarks.server import model, reply_to
from llamaberry import Context, graph
from testing.scripted_groq import ScriptedGroq

TURNS = 3
LAYERS = {
    "baseline": "the plain loop: groq's client",
    "conversation": "the same client, with Llamaberry's prompts",
    "chat_model": "langchain-groq and langchain-core",
    "langgraph": "LangGraph: a chain of these calls as nodes",
    "ours": "Llamaberry",
}


class _Replies(TypedDict):
    texts: list[str]


def _chain(chat: BaseChatModel, prompts: list[Any]) -> Run:
    """Return a bare graph with one node per prompt."""
    builder = StateGraph(_Replies)

    def node(prompt: Any) -> Any:
        async def call(state: _Replies) -> _Replies:
            return {"texts": [*state["texts"], (await chat.ainvoke(prompt)).text]}

        return call

    names = [f"call_{number}" for number in range(len(prompts))]
    for name, prompt in zip(names, prompts, strict=True):
        builder.add_node(name, node(prompt))
    for before, after in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    chain = builder.compile()
    return lambda: chain.ainvoke({"texts": []})


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Measure the CPU of each layer at three turns without latency."""
    log("layers")
    context = Context(model=f"groq:{model(0)}", max_turns=TURNS, verify="none")
    client, chat = AsyncGroq(), ChatGroq(model=model(0), temperature=0.7, max_tokens=2048, max_retries=0)
    prompts = await _prompts(context)
    langchain = [[(message["role"], message["content"]) for message in prompt] for prompt in prompts]

    async def conversation() -> None:
        for prompt in prompts:
            await client.chat.completions.create(model=model(0), messages=prompt, temperature=0.7, max_tokens=2048)

    async def chat_model() -> None:
        for prompt in langchain:
            await chat.ainvoke(prompt)

    variants = {
        "baseline": plain(client, TURNS),
        "conversation": conversation,
        "chat_model": chat_model,
        "langgraph": _chain(chat, langchain),
        "ours": ours(None, TURNS),
    }
    cost = await interleaved(variants, rounds=1 if quick else 25, repeat=1 if quick else 3)
    await client.close()
    return {"turns": TURNS, **cost}


async def _prompts(context: Context) -> list[Any]:
    """Return the messages of each call of a run."""
    before = os.environ["GROQ_API_BASE"]
    with ScriptedGroq(lambda request: reply_to(request), keep_alive=False) as groq:
        os.environ["GROQ_API_BASE"] = groq.url
        try:
            await graph.ainvoke({"query": QUESTION}, context=context)
        finally:
            os.environ["GROQ_API_BASE"] = before
        return [request.messages for request in groq.requests]
