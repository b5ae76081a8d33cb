"""A reply's markdown -> a Turn, or a synthesis. Pure, linear in the text, and it never raises.

What it reads is the form that the prompts ask for, and its near misses: a heading at another level, in bold, or with
its text on the same line. What a reply does not state stays None: nothing is guessed from prose.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from langchain_core.messages import AIMessage

from llamaberry.graph.markdown import lines, without_thoughts
from llamaberry.graph.state import Step, Turn, Verdict

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


def _headings(names: dict[str, str]) -> re.Pattern[str]:
    any_name = "|".join(f"(?P<{name}>{forms})" for name, forms in names.items())
    return re.compile(
        r"(?:[ \t]{0,3}(?P<hashes>#{1,6}(?:[ \t]++#{1,6}){0,2})[ \t]*+)?"
        rf"(?P<bold>\*\*|__)?[ \t]*+(?:{any_name})(?![^\W_])[ \t]*+"
        r"(?P<colon>[:：])?(?(bold)[ \t]*+(?P<closed>\*\*|__)?)[ \t]*+(?P<colon2>[:：])?(?P<rest>.*)",
        re.IGNORECASE | re.DOTALL,
    )


_TURN, _SYNTHESIS, _LOOSE = (_headings(names) for names in (_TURN_NAMES, _SYNTHESIS_NAMES, _LOOSE_NAMES))
_MARKS = {"hashes", "bold", "colon", "closed", "colon2", "rest"}
_RULE = re.compile(r"\n[ \t]*(?:-{3,}|\*{3,}|_{3,})$")
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
_KEPT = 1024  # texts that were read: every node reads all the turns before it
_LONGEST_KEPT = 20_000  # characters of one, so that they are some megabytes in all


class Section(NamedTuple):
    """A heading's name and what stands under it."""

    name: str
    body: str


class _Read(NamedTuple):
    """What a turn's text states."""

    text: str
    steps: list[Step]
    verdict: Verdict | None
    answer: str | None


class Synthesis(NamedTuple):
    """What a synthesis states; None where it does not."""

    text: str
    comprehensive: str | None
    concise: str | None


def read_turn(message: AIMessage, *, index: int, model: str, seconds: float) -> Turn:
    """Read a reply as the turn with this index: the first one, or a refine turn. `seconds` is the turn's wall time."""
    read = _read(message.text, index == 1)
    return Turn(
        index=index,
        kind="first" if index == 1 else "refine",
        text=read.text,
        steps=[step.copy() for step in read.steps],
        verdict=read.verdict,
        answer=read.answer,
        model=model,
        usage=message.usage_metadata,
        seconds=round(seconds, 3),
        finish_reason=message.response_metadata.get("finish_reason"),
    )


def _read(text: str, first: bool) -> _Read:
    return _read_kept(text, first) if len(text) <= _LONGEST_KEPT else _read_anew(text, first)


def _read_anew(text: str, first: bool) -> _Read:
    text = without_thoughts(text)
    sections = _own_turn(_sections(text, _TURN, labels=False), first)
    if not _last(sections, "answer"):
        sections = _own_turn(_sections(text, _TURN, labels=True), first)
    verdict = None if first else _verdict(_last(sections, "verdict") or "")
    return _Read(text, _steps(_last(sections, "reasoning") or ""), verdict, _last(sections, "answer"))


_read_kept = lru_cache(maxsize=_KEPT)(_read_anew)


def reread(turns: list[Turn]) -> list[Turn]:
    """Return the turns, those whose text a person has edited read again.

    An edited text shows by its steps or its verdict, which are no longer the turn's. Where the answer alone differs,
    it is the answer that was edited, and it counts.
    """
    return [_reread(turn) for turn in turns]


def _reread(turn: Turn) -> Turn:
    now = _read(turn["text"], turn["index"] == 1)
    same_text = (now.steps, now.verdict) == (turn["steps"], turn["verdict"])
    if now.answer is None or (same_text and turn["answer"] is not None):
        return turn
    return {**turn, "steps": [step.copy() for step in now.steps], "verdict": now.verdict, "answer": now.answer}


def read_synthesis(message: AIMessage) -> Synthesis:
    """Read a reply as the synthesis. A reply without any of its headings is the answer as it stands."""
    text = without_thoughts(message.text)
    sections = list(_sections(text, _SYNTHESIS, labels=False))
    comprehensive = _last(sections, "comprehensive")
    if comprehensive is None:
        loose = list(_sections(text, _LOOSE, labels=True))
        comprehensive = _last(loose, "comprehensive") or _last(loose, "answer")
        sections = sections or loose
    if comprehensive is None and not sections:
        comprehensive = text or None
    return Synthesis(text, comprehensive, _last(sections, "concise"))


def incomplete(message: AIMessage) -> str | None:
    """Say what a reply lacks that came without an error and is none all the same; None where it is whole.

    A stream that was cut may end as cleanly as a whole one, but without its finish reason. A reply that was cut at
    max_tokens is kept, with its finish reason for all to see.
    """
    ended = message.response_metadata
    if not any(ended.get(key) for key in ("finish_reason", "stop_reason", "done_reason")):
        return "broke off: its reply ends without a finish reason"
    if not without_thoughts(message.text) and ended.get("finish_reason") != "length":
        return "gave an empty reply"
    return None


def as_written(turn: Turn) -> AIMessage:
    """Return a turn as the message that the next prompt holds: its text, and below it the answer that was edited."""
    text, answer = turn["text"], _reread(turn)["answer"]
    if answer is not None and answer != _read(text, turn["index"] == 1).answer:
        text = f"{text}\n\n## Answer\n{answer}".lstrip()
    return AIMessage(text or "(This turn said nothing.)")


def _sections(text: str, headings: re.Pattern[str], *, labels: bool) -> Iterator[Section]:
    """Yield the sections under known headings, in order; unknown headings belong to the section they stand in.

    A heading is marked by `#` or in bold; with `labels`, "Answer: …" at the beginning of a line is one too.
    """
    name, body = "", list[str]()
    for line, fenced in lines(text):
        found = None if fenced else headings.match(line)
        if found and _is_heading(found, labels=labels):
            if name:
                yield Section(name, _body(body))
            name = str(next(key for key in headings.groupindex if key not in _MARKS and found[key]))
            rest = found["rest"].strip()
            if found["bold"] and not found["closed"]:
                rest = rest.removesuffix(found["bold"])
            body = [rest.strip() if found["colon"] or found["colon2"] else rest.strip("# \t")]
        else:
            body.append(line)
    if name:
        yield Section(name, _body(body))


def _body(lines: list[str]) -> str:
    return _RULE.sub("", "\n".join(lines).strip()).strip()


def _is_heading(found: re.Match[str], *, labels: bool) -> bool:
    rest = found["rest"].strip("# \t")
    alone = not rest or (bool(found.groupdict().get("verdict")) and rest.startswith("("))  # "**Verdict** (keep)"
    colon = found["colon"] or found["colon2"]
    if found["bold"]:
        return bool((alone and found["closed"]) or colon)
    return bool((found["hashes"] and (alone or colon)) or (labels and colon))


def _own_turn(sections: Iterator[Section], first: bool) -> list[Section]:
    """Cut off what a model that runs on wrote of the next job: what no turn says after its answer."""
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
    """A model that corrects itself writes a section again: the last one that says something stands."""
    return next((section.body for section in reversed(sections) if section.name == name and section.body), None)


def _steps(reasoning: str) -> list[Step]:
    bodies: list[list[str]] = []
    for line, fenced in lines(reasoning):
        number = None if fenced else _NUMBER.match(line)
        if number:
            # "**1. Bold**" lost its first mark with the number; "**1.** Plain" lost both.
            mark = number["bold"] if number["bold"] and not number["closed"] else ""
            bodies.append([mark + number["rest"]])
        elif bodies:
            bodies[-1].append(line)
    return [_step("\n".join(body)) for body in bodies]


def _step(body: str) -> Step:
    found = _EXPLANATION.search(body)
    statement, explanation = (body[: found.start()], body[found.end() :]) if found else (body, "")
    statement = statement.strip()
    if statement.startswith("**") and statement.endswith("**") and statement.count("**") == 2:
        statement = statement[2:-2].strip()
    return Step(statement=statement, explanation=explanation.strip())


def _verdict(section: str) -> Verdict | None:
    """A verdict that begins with its word, or holds one of the two and no "not"; else it is none."""
    section = section[:300].lower()
    if begun := _VERDICT_FIRST.match(section):
        return "keep" if begun[1] == "keep" else "revise"
    words = {word[1] for word in _VERDICT_WORD.finditer(section)}
    if len(words) != 1 or _NEGATION.search(section):
        return None
    return "keep" if words == {"ke"} else "revise"
