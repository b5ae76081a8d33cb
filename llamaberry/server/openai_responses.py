"""Responses: the steps of a run are the summary of a reasoning item, and the answer is a message. Nothing is stored."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from llamaberry.graph.context import MAX_SYSTEM_PROMPT_CHARS
from llamaberry.server.openai_errors import ApiError, InvalidRequestError
from llamaberry.server.openai_messages import Message, Part, Role, to_graph
from llamaberry.server.openai_request import Temperature, TokenLimit, make_context
from llamaberry.server.openai_structured import RequestWithTools, format_schema
from llamaberry.server.reply import Event
from llamaberry.server.run import Run

Json = dict[str, Any]


class Item(BaseModel):
    """An item of the input. Only messages reach the graph: it calls no tools, and shows no model its old thoughts."""

    type: str = "message"
    role: Role | None = None
    content: str | list[Part] | None = None


class TextOptions(BaseModel):
    """The form of the answer."""

    format: Any = None

    @field_validator("format")
    @classmethod
    def _check_format(cls, value: Any) -> Any:
        format_schema(value)
        return value


class ResponsesRequest(RequestWithTools):
    """The fields that have an effect. Others are ignored, except those that ask for another kind of answer."""

    model: str
    input: list[Item]
    instructions: str | None = Field(default=None, max_length=MAX_SYSTEM_PROMPT_CHARS)
    stream: bool | None = None
    temperature: Temperature | None = None
    max_output_tokens: TokenLimit | None = None
    metadata: dict[str, str] | None = None
    text: TextOptions | None = None
    background: bool | None = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None

    @field_validator("input", mode="before")
    @classmethod
    def _to_items(cls, value: Any) -> Any:
        return [{"role": "user", "content": value}] if isinstance(value, str) else value

    @field_validator("background", "previous_response_id", "conversation", "prompt")
    @classmethod
    def _refuse(cls, value: Any, info: ValidationInfo) -> Any:
        if value:
            hint = (
                "send the response's model and input" if info.field_name == "prompt" else "send the whole conversation"
            )
            raise ValueError(f"it is not supported, because the server stores nothing: {hint} in `input`")
        return value

    def run(self, run_id: Any) -> Run:
        """Return the run for this request. Raises InvalidRequestError for an input that cannot be used."""
        instructions = (
            [("instructions", Message(role="system", content=self.instructions))] if self.instructions else []
        )
        schema = self.tool.parameters if self.tool else format_schema(self.text.format if self.text else None)
        settings = {
            "temperature": self.temperature,
            "max_tokens": self.max_output_tokens,
            "answer_schema": schema,
        }
        conversation = to_graph([*instructions, *self._messages()], "input")
        return Run(conversation, make_context(self.model, settings), run_id)

    def _messages(self) -> list[tuple[str, Message]]:
        messages = []
        for number, item in enumerate(self.input):
            if item.type == "message":
                if item.role is None:
                    raise InvalidRequestError(f"input.{number}.role", "it is missing: name who says this")
                messages.append((f"input.{number}.content", Message(role=item.role, content=item.content)))
            elif item.type == "item_reference":
                reason = "the server stores no items: send the item itself, as clients do if `store` is false"
                raise InvalidRequestError(f"input.{number}", reason)
            elif item.type != "reasoning" and not item.type.endswith(("_call", "_output")):
                raise InvalidRequestError(f"input.{number}.type", f"{item.type[:50]!r} is not supported: leave it out")
        return messages


class ResponsesReply:
    """The reply to a request for a response."""

    def __init__(self, request: ResponsesRequest, run: Run) -> None:
        self.run = run
        self._request = request
        self._created_at = int(time.time())
        self._sequence = count()

    async def whole(self) -> Json:
        """Run the graph and return the reply. Raises LlamaberryError if it fails."""
        summary: list[list[str]] = []
        async for starts_step, text in self.run.deltas():
            if starts_step:
                summary.append([])
            summary[-1].append(text)
        return self._complete(["".join(texts) for texts in summary])

    async def events(self) -> AsyncGenerator[Event]:
        """Run the graph and yield the events of the reply. Raises LlamaberryError if it fails."""
        for name in ("created", "in_progress"):
            yield self._event(f"response.{name}", response=self._response("in_progress"))
        yield self._event("response.output_item.added", output_index=0, item=self._reasoning([]))
        place = {"item_id": self._id("rs"), "output_index": 0}
        summary: list[str] = []
        texts: list[str] = []
        async with aclosing(self.run.deltas()) as deltas:
            async for starts_step, text in deltas:
                if starts_step:
                    if texts:
                        summary.append("".join(texts))
                        for event in self._part_done(summary):
                            yield event
                    texts, part = [], {"summary_index": len(summary), "part": _summary_text("")}
                    yield self._event("response.reasoning_summary_part.added", **place, **part)
                texts.append(text)
                part = {"summary_index": len(summary), "delta": text}
                yield self._event("response.reasoning_summary_text.delta", **place, **part)
        summary.append("".join(texts))
        for event in [*self._part_done(summary), *self._end(summary)]:
            yield event

    def failure(self, error: ApiError) -> list[Event]:
        """Return the events of an error, in the two forms that clients look for."""
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        response = self._response("failed", error={"code": code, "message": error.message})
        return [
            self._event("error", **error.body["error"] | {"type": "error"}, **error.body),
            self._event("response.failed", response=response),
        ]

    def _part_done(self, summary: list[str]) -> list[Event]:
        """Return the events that end the last part of the summary."""
        place = {"item_id": self._id("rs"), "output_index": 0, "summary_index": len(summary) - 1}
        return [
            self._event("response.reasoning_summary_text.done", **place, text=summary[-1]),
            self._event("response.reasoning_summary_part.done", **place, part=_summary_text(summary[-1])),
        ]

    def _end(self, summary: list[str]) -> list[Event]:
        """Return the events from the end of the reasoning on."""
        response = self._complete(summary)
        reasoning, item = response["output"]
        empty: Json = {"arguments": ""} if item["type"] == "function_call" else {"content": []}
        started = item | empty | {"status": "in_progress"}
        return [
            self._event("response.output_item.done", output_index=0, item=reasoning),
            self._event("response.output_item.added", output_index=1, item=started),
            *self._answer_events(item),
            self._event("response.output_item.done", output_index=1, item=item),
            self._event(f"response.{response['status']}", response=response),
        ]

    def _answer_events(self, item: Json) -> list[Event]:
        """Return the events of an answer's text: of a message, a refusal, or the arguments of a tool."""
        place = {"item_id": item["id"], "output_index": 1}
        if item["type"] == "function_call":
            arguments, name = item["arguments"], item["name"]
            return [
                self._event("response.function_call_arguments.delta", **place, delta=arguments),
                self._event("response.function_call_arguments.done", **place, arguments=arguments, name=name),
            ]
        place["content_index"] = 0
        (part,) = item["content"]
        is_refusal = part["type"] == "refusal"
        field, kind = ("refusal", "refusal") if is_refusal else ("text", "output_text")
        more: Json = {} if is_refusal else {"logprobs": []}
        return [
            self._event("response.content_part.added", **place, part=part | {field: ""}),
            self._event(f"response.{kind}.delta", **place, delta=part[field], **more),
            self._event(f"response.{kind}.done", **place, **{field: part[field]}, **more),
            self._event("response.content_part.done", **place, part=part),
        ]

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"event": kind, "data": json.dumps({"type": kind, "sequence_number": next(self._sequence), **fields})}

    def _complete(self, summary: list[str]) -> Json:
        """Return the reply at the end of the run."""
        status = "completed" if self.run.finish_reason == "stop" else "incomplete"
        output = [self._reasoning(summary), self._answer(status)]
        usage = self.run.usage
        tokens = {
            "input_tokens": usage["input_tokens"],
            "input_tokens_details": {"cached_tokens": usage["cached_tokens"]},
            "output_tokens": usage["output_tokens"],
            "output_tokens_details": {"reasoning_tokens": self.run.reasoning_tokens},
            "total_tokens": usage["total_tokens"],
            "cost_usd": usage["cost_usd"],
        }
        details = None if status == "completed" else {"reason": "max_output_tokens"}
        degraded = {"degraded": self.run.degraded} if self.run.degraded else {}
        return self._response(status, output=output, usage=tokens, incomplete_details=details, **degraded)

    def _answer(self, status: str) -> Json:
        """Return the item with the answer: a message, or the call of a tool."""
        refusal, tool = self.run.refusal, self._request.tool
        if tool and not refusal:
            call = {"type": "function_call", "id": self._id("fc"), "call_id": self._id("call"), "status": "completed"}
            return call | {"name": tool.name, "arguments": self.run.answer}
        part = {"type": "refusal", "refusal": refusal} if refusal else _output_text(self.run.answer)
        message = {"type": "message", "id": self._id("msg"), "status": status, "role": "assistant"}
        return message | {"content": [part]}

    def _response(self, status: str, **fields: Any) -> Json:
        request = self._request
        return {
            "id": self._id("resp"),
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": request.metadata or {},
            "model": request.model,
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "temperature": request.temperature,
            "text": {"format": (request.text and request.text.format) or {"type": "text"}},
            "tool_choice": request.tool_choice if request.tool else "auto",
            "tools": request.tools if request.tool else [],
            "top_p": None,
            "truncation": "disabled",
            "usage": None,
            **fields,
        }

    def _reasoning(self, summary: list[str]) -> Json:
        return {"type": "reasoning", "id": self._id("rs"), "summary": [_summary_text(text) for text in summary]}

    def _id(self, kind: str) -> str:
        return f"{kind}_{self.run.run_id}"


def _summary_text(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def _output_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
