"""Chat completions: the steps of a run stream as `reasoning_content`, and the answer is the `content`."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from llamaberry.server.openai_errors import ApiError
from llamaberry.server.openai_request import ChatRequest
from llamaberry.server.reply import Event
from llamaberry.server.run import Run


class ChatCompletion:
    """The reply to a request for a chat completion."""

    def __init__(self, request: ChatRequest, run: Run) -> None:
        self.run = run
        self._frame = {"id": f"chatcmpl-{run.run_id}", "created": int(time.time()), "model": request.model}
        self._tool = request.tool
        self._with_usage = bool(request.stream_options and request.stream_options.include_usage)

    async def whole(self) -> dict[str, Any]:
        """Run the graph and return the reply. Raises LlamaberryError if it fails."""
        reasoning = "".join([text async for text in self._reasoning()])
        message = {"role": "assistant", "content": None, **self._answer(), "reasoning_content": reasoning}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason}
        return self._body("chat.completion", [choice], usage=self._usage) | self._degraded

    async def events(self) -> AsyncGenerator[Event]:
        """Run the graph and yield the chunks of the reply. Raises LlamaberryError if it fails."""
        role = {"role": "assistant"}
        async with aclosing(self._reasoning()) as reasoning:
            async for text in reasoning:
                yield self._chunk({**role, "reasoning_content": text})
                role = {}
        yield self._chunk(self._answer(streamed=True))
        yield self._chunk({}, self._finish_reason, **self._degraded)
        if self._with_usage:
            yield {"data": json.dumps(self._body("chat.completion.chunk", [], usage=self._usage))}
        yield {"data": "[DONE]"}

    def failure(self, error: ApiError) -> list[Event]:
        """Return the event of an error."""
        return [{"data": json.dumps(error.body)}]

    def _answer(self, *, streamed: bool = False) -> dict[str, Any]:
        """Return the part of a message with the answer: a text, the call of a tool, or why there is no JSON."""
        if self.run.refusal:
            return {"refusal": self.run.refusal}
        if self._tool is None:
            return {"content": self.run.answer}
        function = {"name": self._tool.name, "arguments": self.run.answer}
        call = {"id": f"call_{self.run.run_id.hex}", "type": "function", "function": function}
        return {"tool_calls": [{"index": 0, **call} if streamed else call]}

    @property
    def _finish_reason(self) -> str:
        return "tool_calls" if self._tool and not self.run.refusal else self.run.finish_reason

    async def _reasoning(self) -> AsyncGenerator[str]:
        """Run the graph; yield its text, with a blank line between the steps."""
        separator = ""
        async with aclosing(self.run.deltas()) as deltas:
            async for starts_step, text in deltas:
                yield f"{separator}{text}" if starts_step else text
                separator = "\n\n"

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {"data": json.dumps(self._body("chat.completion.chunk", [choice], **more))}

    def _body(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._frame, "object": kind, "choices": choices, **more}

    @property
    def _degraded(self) -> dict[str, str]:
        return {"degraded": self.run.degraded} if self.run.degraded else {}

    @property
    def _usage(self) -> dict[str, Any]:
        usage = self.run.usage
        return {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
            "prompt_tokens_details": {"cached_tokens": usage["cached_tokens"]},
            "completion_tokens_details": {"reasoning_tokens": self.run.reasoning_tokens},
            "cost_usd": usage["cost_usd"],
        }
