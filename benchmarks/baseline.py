"""The plain loop, the baseline of the benchmarks: the method as first published, without a framework.

A first turn, refine turns, a synthesis: each call has its own system prompt, and the question and all earlier turns in
one user message. The client is groq's or, for the local model, openai's, which has the same interface. As a program it
answers one question and prints the replies as they are streamed: `python -m benchmarks.baseline "question"`.
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


class Reply(NamedTuple):
    """The reply of one call: the text, and the client's usage object (None if it was streamed)."""

    text: str
    usage: Any


async def answer(
    client: Any,
    question: str,
    *,
    model: str,
    turns: int = 3,
    max_tokens: int = 2048,
    on_text: Callable[[str], object] | None = None,
) -> list[Reply]:
    """Return the replies of the turns, and of the synthesis if there is more than one turn.

    `client` is an AsyncGroq or an AsyncOpenAI. With `on_text` the replies are streamed to it.
    """
    replies: list[Reply] = []

    async def call(system: str, user: str) -> None:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        request = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": max_tokens}
        if on_text is None:
            completion = await client.chat.completions.create(**request)
            replies.append(Reply(completion.choices[0].message.content, completion.usage))
            return
        text = ""
        async for chunk in await client.chat.completions.create(**request, stream=True):
            piece = chunk.choices[0].delta.content or ""
            on_text(piece)
            text += piece
        replies.append(Reply(text, None))

    await call(FIRST, question)
    for _ in range(turns - 1):
        await call(REFINE, _user_message(question, replies))
    if turns > 1:
        await call(SYNTHESIS, _user_message(question, replies))
    return replies


def _user_message(question: str, replies: Sequence[Reply]) -> str:
    turns = "\n\n".join(f"Turn {number}:\n{reply.text}" for number, reply in enumerate(replies, 1))
    return f"Question: {question}\n\nTurns so far:\n\n{turns}"


def main() -> None:
    """Answer the question once, in three turns, with the Groq at GROQ_API_BASE; stream the text to stdout."""
    from groq import AsyncGroq

    def write(piece: str) -> None:
        sys.stdout.write(piece)
        sys.stdout.flush()

    asyncio.run(answer(AsyncGroq(), sys.argv[1], model="openai/gpt-oss-120b", on_text=write))


if __name__ == "__main__":
    main()
