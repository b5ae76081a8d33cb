"""Calls of an MCP client that several tests make."""

import asyncio
from typing import Any

from testing.scripted_groq import ScriptedGroq
from testing.scripts import HANG

QUESTION = {"question": "What is 6 times 7?"}


async def cancelled_call(groq: ScriptedGroq, caller: Any) -> None:
    """Cancel a call during its first model call, and check that the model call ends and no other is made."""
    groq.play([HANG, HANG])
    call = asyncio.create_task(caller.call_tool("think", QUESTION))
    await asyncio.to_thread(groq.wait, 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.to_thread(groq.wait, 0)
    assert (len(groq.requests), groq.disconnects) == (1, 1)
