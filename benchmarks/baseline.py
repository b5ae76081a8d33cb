"""The plain loop that Llamaberry is measured against: the method as it was first published, without a framework.

A first turn, refine turns, a synthesis: each call with a system prompt of its own, and with the question and all
earlier turns concatenated into one user message. The client is groq's own or, for the local model, openai's: they are
called in the same way. As a program it asks once and prints as it reads: `python -m benchmarks.baseline "question"`.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

FIRST = """\
This is the first turn. You are a careful thinker. Reason about the question step by step, say of each step why it \
holds, and then answer. Reply in markdown under these headings: ## Reasoning (numbered steps, each with its \
**Explanation:**), ## Answer."""
REFINE = """\
This is a refine turn. You are a careful thinker. You are given a question and the turns of reasoning so far. Check \
them for errors, improve the reasoning where you can, and answer the question anew. Reply in markdown under these \
headings: ## Review, ## Verdict (keep or revise), ## Reasoning (numbered steps, each with its **Explanation:**), \
## Answer."""
SYNTHESIS = """\
This is the synthesis. You are a careful thinker. You are given a question and several turns of reasoning. Analyse and \
compare the turns, and write one final answer. Reply in markdown under these headings: ## Analysis of Turns, \
## Comparison, ## Final Reasoning, ## Comprehensive Answer, ## Concise Answer."""

Shown = Callable[[str], object]


class Reply(NamedTuple):
    """What one call gave: the text, and the client's usage object (None where it was streamed)."""

    text: str
    usage: Any


async def answer(
    client: Any, question: str, *, model: str, turns: int = 3, max_tokens: int = 2048, stream: Shown | None = None
) -> list[Reply]:
    """Return all replies: the turns', and the synthesis's where there is more than one turn to weigh.

    `client` is an AsyncGroq or an AsyncOpenAI; `stream` is given each piece of text as it comes.
    """
    replies: list[Reply] = []

    async def ask(system: str, user: str) -> None:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        asked = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": max_tokens}
        if stream is None:
            done = await client.chat.completions.create(**asked)
            replies.append(Reply(done.choices[0].message.content, done.usage))
            return
        text = ""
        async for chunk in await client.chat.completions.create(**asked, stream=True):
            piece = chunk.choices[0].delta.content or ""
            stream(piece)
            text += piece
        replies.append(Reply(text, None))

    await ask(FIRST, question)
    for _ in range(turns - 1):
        await ask(REFINE, _told(question, replies))
    if turns > 1:
        await ask(SYNTHESIS, _told(question, replies))
    return replies


def _told(question: str, replies: Sequence[Reply]) -> str:
    turns = "\n\n".join(f"Turn {number}:\n{reply.text}" for number, reply in enumerate(replies, 1))
    return f"Question: {question}\n\nTurns so far:\n\n{turns}"


def main() -> None:
    """Ask GROQ_API_BASE the question once, in three turns, and print the text as it comes."""
    from groq import AsyncGroq

    def show(piece: str) -> None:
        sys.stdout.write(piece)
        sys.stdout.flush()

    asyncio.run(answer(AsyncGroq(), sys.argv[1], model="openai/gpt-oss-120b", stream=show))


if __name__ == "__main__":
    main()
