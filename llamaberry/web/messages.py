"""A run as messages of a chat: a thought for each step, and the answer below.

A message is what Gradio's Chatbot takes: role, content, and for a thought metadata (title, status, seconds).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired
from urllib.parse import quote

from langchain_core.messages import convert_to_messages
from pydantic import ValidationError
from typing_extensions import TypedDict

from llamaberry.console import as_json, one_line
from llamaberry.graph.answers import answer_changed
from llamaberry.graph.calls import STRUCTURE, SYNTHESIZE, VERIFY
from llamaberry.graph.check import is_short_result
from llamaberry.graph.errors import describe_validation_error
from llamaberry.graph.tool_calls import ToolCall, describe_tool_call
from llamaberry.runs.past_run import Node, Run, diff, read_run
from llamaberry.server.openai_check import fenced
from llamaberry.web.escape import question_markdown, reply_markdown, words, words_and_code


class Metadata(TypedDict):
    """What makes a message a thought: `title` is markdown, `log` more words beside it, `duration` in seconds."""

    title: str
    status: Literal["pending", "done"]
    log: NotRequired[str]
    duration: NotRequired[float]


class Message(TypedDict):
    """A message of the chat. `content` is markdown."""

    role: Literal["user", "assistant"]
    content: str
    metadata: NotRequired[Metadata]


def question_message(text: str) -> Message:
    """Return the message with a question."""
    return {"role": "user", "content": question_markdown(text)}


def reply_message(markdown: str) -> Message:
    """Return a message below the thoughts, such as the answer."""
    return {"role": "assistant", "content": markdown}


def problem_markdown(error: Exception) -> str:
    """Return in words what went wrong."""
    text = describe_validation_error(error, {}) if isinstance(error, ValidationError) else str(error)
    return f"**There is no answer:** {words_and_code(text)}"


def thought(title: str, content: str, *, seconds: float | None = None, log: str = "") -> Message:
    """Return a thought: pending until its `seconds` are known."""
    metadata: Metadata = {"title": title, "status": "pending" if seconds is None else "done"}
    if seconds is not None:
        metadata["duration"] = round(seconds, 1)
    if log:
        metadata["log"] = log
    return {"role": "assistant", "content": content, "metadata": metadata}


def turn_title(name: str, verdict: str | None, before: str | None, answer: str | None) -> str:
    """Return the title of a turn: its name, its verdict, its answer, and the one before it if that is another."""
    if answer is None:
        stated = "no answer stated"
    elif answer_changed(before, answer):
        stated = f"{words(one_line(before or ''))} → **{words(one_line(answer))}**"
    else:
        stated = words(one_line(answer))
    return " · ".join(filter(None, [name, verdict, stated]))


def turn_content(text: str, before: str | None, answer: str | None, tool_calls: Sequence[ToolCall] = ()) -> str:
    """Return a turn's reply, below what it changed in a short answer, and the tools that it called."""
    parts = [f"tool · {words(describe_tool_call(call))}" for call in tool_calls]
    if answer_changed(before, answer) and is_short_result(before) and is_short_result(answer):
        marks = {"same": "{}", "gone": "~~{}~~", "new": "**{}**"}
        changes = [marks[kind].format(words(piece)) for kind, piece in diff(before or "", answer or "")]
        parts.append(f"The answer changed: {' '.join(changes)}")
    return "\n\n".join([*parts, reply_markdown(text)])


def check_title(sentence: str) -> str:
    """Return the title of a check: in a sentence, what follows from it."""
    return f"Check · {words(one_line(sentence))}"


def check_content(program: str | None, output: str | None, sentence: str) -> str:
    """Return a program and what it printed, as code, and what follows."""
    parts = [fenced(program, "python")] if program else []
    if program and (output or "").strip():
        parts += ["It printed:", fenced(output or "")]
    if not parts or one_line(sentence) != sentence:  # otherwise the title says it
        parts.append(words(sentence))
    return "\n\n".join(parts)


def tokens_of(usage: Mapping[str, Any] | None) -> str:
    """Return the tokens of a call in words, "" if the provider did not count them."""
    return f"{usage['total_tokens']:,} tokens" if usage else ""


def node_thought(node: Node) -> Message:
    """Return the thought of a stored step."""
    content, title = reply_markdown(node.text), node.name.capitalize()
    before = " ".join(text for kind, text in node.change if kind != "new") or None
    answer = " ".join(text for kind, text in node.change if kind != "gone") or None
    if node.evidence:
        title, content = check_title(node.evidence.sentence), check_content(*node.evidence)
    elif node.step == STRUCTURE:
        content = fenced(node.text, "json")
    elif node.step not in (VERIFY, SYNTHESIZE):
        title = turn_title(title, node.verdict, before, answer)
        content = turn_content(node.text, before, answer, node.tool_calls)
    return thought(title, content, seconds=node.call["seconds"], log=tokens_of(node.call["usage"]))


def answer_message(run: Run, structured: Any = None) -> Message:
    """Return the answer, what is missing in it, and the figures of the run with a link to its page."""
    parts = [reply_markdown(run.answer)]
    if structured is not None:
        parts.append(fenced(as_json(structured), "json"))
    if run.degraded:
        parts.append(f"⚠ {words(run.degraded)}")
    page = f"[page of this run](runs/{quote(run.thread, safe='')})"
    parts.append(f'<span class="figures">{" · ".join([*map(words, run.figures), page])}</span>')
    return reply_message("\n\n".join(parts))


def run_messages(thread: str, state: dict[str, Any]) -> list[Message]:
    """Return the messages of a stored question: the question, its thoughts, and the answer if it has one."""
    run = read_run(thread, state)
    messages = [question_message(run.question), *map(node_thought, run.nodes)]
    return [*messages, answer_message(run, state.get("structured"))] if state.get("answer") else messages


def thread_messages(thread: str, states: Sequence[dict[str, Any]]) -> list[Message]:
    """Return the messages of a thread: its states, and of the questions before them only the texts."""
    messages = text_messages(states[0]) if states else []
    for state in states:
        messages += run_messages(thread, state)
    return messages


def text_messages(state: Mapping[str, Any]) -> list[Message]:
    """Return the messages of the conversation before the state's own question."""
    messages = []
    for message in earlier_messages(state):
        text, is_question = message["content"], message["role"] == "user"
        messages.append(question_message(text) if is_question else reply_message(reply_markdown(text)))
    return messages


def earlier_messages(state: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the conversation before the state's own question, which is not in it before its first turn."""
    messages, query = conversation(state), (state.get("query") or "").strip()
    own = [i for i, message in enumerate(messages) if message["role"] == "user" and message["content"].strip() == query]
    return messages[: own[-1]] if own else messages


def conversation(state: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a state's messages of users and models, as the graph takes them: role and content."""
    roles = {"human": "user", "ai": "assistant"}
    messages = convert_to_messages(state.get("messages") or [])
    return [{"role": roles[message.type], "content": message.text} for message in messages if message.type in roles]
