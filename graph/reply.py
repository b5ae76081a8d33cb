"""Parse the markdown of a reply as a turn or a synthesis. Pure, linear in the text, and it never raises.

It reads the form that the prompts ask for and its near misses: a heading at another level, in bold, or with its text on
the same line. What a reply does not state stays None: nothing is guessed from prose.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from langchain_core.messages import AIMessage
from typing_extensions import TypedDict

from llamaberry.graph.headings import Section, headings_pattern, read_sections
from llamaberry.graph.markdown import find_fence, lines
from llamaberry.graph.program_reply import without_program_verdict
from llamaberry.graph.thoughts import without_thoughts

Verdict = Literal["keep", "revise"]

_TURN_NAMES = {
    "reasoning": "reasoning|reasoning steps|step[- ]by[- ]step reasoning|revised reasoning|updated reasoning",
    "answer": "answer|final answer|revised answer|updated answer|my answer",
    "review": "review",
    "verdict": "verdict|final verdict",
    "synthesis": "analysis of turns|analysis of the turns|comprehensive answer|concise answer",
}
_SYNTHESIS_NAMES = {
    "analysis": "analysis of turns|analysis of the turns|analysis",
    "comparison": "comparison|comparison of turns",
    "reasoning": "final reasoning",
    "comprehensive": "comprehensive answer|comprehensive final answer",
    "concise": "concise answer|concise final answer|short answer",
}
_LOOSE_NAMES = _SYNTHESIS_NAMES | {"answer": "answer|final answer"}


_TURN, _SYNTHESIS, _LOOSE = (headings_pattern(names) for names in (_TURN_NAMES, _SYNTHESIS_NAMES, _LOOSE_NAMES))
_MAX_FENCES = 8
_FINISH_KEYS = ("finish_reason", "stop_reason", "done_reason")
_CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
"""The providers' words for a reply that a limit of tokens cut."""
_NUMBER = re.compile(
    r"[ \t]{0,3}(?:#{1,6}[ \t]*+)?(?P<bold>\*\*|__)?(?:step[ \t]*\d{1,3}[.):、．：]?|\d{1,3}[.)、．])(?!\d)"
    r"(?(bold)(?P<closed>\*\*|__)?)[ \t]*+(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_EXPLANATION = re.compile(
    r"(?:\n[ \t]*+[-*][ \t]++)?(?:\*\*|__)[ \t]*+explanation[ \t]*+[:：]?[ \t]*+(?:\*\*|__)[ \t]*+[:：]?"
    r"|^[ \t]*+(?:[-*][ \t]++)?explanation[ \t]*+[:：]",
    re.IGNORECASE | re.MULTILINE,
)
_VERDICT_FIRST = re.compile(r"[\W_]*(keep|revise)(?![^\W_])(?!\W{0,8}(?:or\b|keep|revise))")
_VERDICT_WORD = re.compile(r"\b(ke|re)(?:ep|pt|vise|vised)\b")
_NEGATION = re.compile(r"\b(?:not|cannot|nothing|no|without|never|neither|nor)\b|n['’]t\b")


class Step(TypedDict):
    """One numbered step of a turn's reasoning."""

    statement: str
    explanation: str


class ParsedTurn(NamedTuple):
    """What the text of a turn states; None where it states nothing."""

    text: str
    """The reply without the model's thoughts."""
    steps: list[Step]
    verdict: Verdict | None
    answer: str | None


class ParsedSynthesis(NamedTuple):
    """What a synthesis states; None where it states nothing."""

    text: str
    comprehensive: str | None
    concise: str | None


def parse_turn(text: str, *, first: bool) -> ParsedTurn:
    """Parse a reply as a first turn or a refine turn. Only a refine turn has a verdict."""
    text = _unwrapped(without_thoughts(text), _TURN)
    sections = _own_turn(read_sections(text, _TURN, labels=False), first)
    if not _last(sections, "answer"):
        sections = _own_turn(read_sections(text, _TURN, labels=True), first)
    verdict = None if first else _parse_verdict(_last(sections, "verdict") or "")
    answer = _last(sections, "answer")
    if answer and not first:
        answer = without_program_verdict(answer) or None
    return ParsedTurn(text, _steps(_last(sections, "reasoning") or ""), verdict, answer)


def parse_synthesis(text: str) -> ParsedSynthesis:
    """Parse a reply as the synthesis. A reply without any of its headings is itself the comprehensive answer."""
    text = _unwrapped(without_thoughts(text), _LOOSE)
    sections = list(read_sections(text, _SYNTHESIS, labels=False))
    comprehensive = _last(sections, "comprehensive")
    if comprehensive is None:
        loose = list(read_sections(text, _LOOSE, labels=True))
        comprehensive = _last(loose, "comprehensive") or _last(loose, "answer")
        sections = sections or loose
    if comprehensive is None and not sections:
        comprehensive = text or None
    return ParsedSynthesis(text, comprehensive, _last(sections, "concise"))


def finish_reason(message: AIMessage) -> str | None:
    """Return why the model stopped writing: "length" if a limit cut the reply, otherwise the provider's own word."""
    metadata = message.response_metadata
    reason = next((metadata[key] for key in _FINISH_KEYS if metadata.get(key)), None)
    return "length" if str(reason).lower() in _CUT else reason and str(reason)


def why_unusable(message: AIMessage, *, needs_reason: bool = True, may_call_tools: bool = False) -> str | None:
    """Return why a reply that arrived without an error is unusable (empty, or no finish reason); None if it is usable.

    A stream that was cut may end as cleanly as a complete one, but without its finish reason. A reply that max_tokens
    cut is usable if it says anything; its finish reason shows the cut. Without `needs_reason` a finish reason may be
    missing: classes of chat models that a user writes, and fakes, often give none. With `may_call_tools` a reply that
    only calls tools is usable, unless it was cut.
    """
    reason = finish_reason(message)
    if reason is None and needs_reason:
        return "broke off: its reply ends without a finish reason"
    if without_thoughts(message.text) or (may_call_tools and message.tool_calls and reason != "length"):
        return None
    return "used up max_tokens before it wrote a word" if reason == "length" else "gave an empty reply"


def _unwrapped(text: str, headings: re.Pattern[str]) -> str:
    """Return a reply without a fence around its form; code below one of its headings stays."""
    for _ in range(_MAX_FENCES):
        if (fenced := find_fence(text)) is None or any(read_sections(fenced.outside, headings, labels=False)):
            break
        if not any(any(read_sections(fenced.inside, headings, labels=labels)) for labels in (False, True)):
            break
        text = fenced.unwrapped
    return text


def _own_turn(sections: Iterator[Section], first: bool) -> list[Section]:
    """Return the sections before those of the next job, which some models go on to write."""
    foreign = {"review", "synthesis"} | ({"verdict"} if first else set())
    own: list[Section] = []
    answered = False
    for section in sections:
        if answered and section.name in foreign:
            break
        answered = answered or (section.name == "answer" and bool(section.body))
        own.append(section)
    return own


def _last(sections: list[Section], name: str) -> str | None:
    """Return the last section with this name and some text: a model that corrects itself writes a section again."""
    return next((section.body for section in reversed(sections) if section.name == name and section.body), None)


def _steps(reasoning: str) -> list[Step]:
    bodies: list[list[str]] = []
    for line, fenced in lines(reasoning):
        number = None if fenced else _NUMBER.match(line)
        if number:
            # In "**1. Bold**" the number took the first mark with it; in "**1.** Plain" it took both.
            mark = number["bold"] if number["bold"] and not number["closed"] else ""
            bodies.append([mark + number["rest"]])
        elif bodies:
            bodies[-1].append(line)
    return [_step("\n".join(body)) for body in bodies]


def _step(body: str) -> Step:
    match = _EXPLANATION.search(body)
    statement, explanation = (body[: match.start()], body[match.end() :]) if match else (body, "")
    statement = statement.strip()
    if statement.startswith("**") and statement.endswith("**") and statement.count("**") == 2:
        statement = statement[2:-2].strip()
    return Step(statement=statement, explanation=explanation.strip())


def _parse_verdict(section: str) -> Verdict | None:
    """Return the verdict of a section that starts with its word, or has one of the two words and no negation."""
    section = section[:300].lower()
    if match := _VERDICT_FIRST.match(section):
        return "keep" if match[1] == "keep" else "revise"
    words = {word[1] for word in _VERDICT_WORD.finditer(section)}
    if len(words) != 1 or _NEGATION.search(section):
        return None
    return "keep" if words == {"ke"} else "revise"
