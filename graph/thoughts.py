"""A reply without a reasoning model's thoughts and a chat template's tokens. Pure, and linear in the text."""

import re
from collections.abc import Iterator
from functools import lru_cache

from llamaberry.graph.markdown import lines

_NAMES = r"(?:ant)?think(?:ing)?|thoughts?|reasoning|reflection|scratchpad|inner_monologue|seed:think"
_SIGNS = {
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "<unused94>": "<unused95>",
}
"""How thoughts begin and end in templates that do not use `<think>` or a tag like it."""
_ANY_OPENING = re.compile(rf"<(?:{_NAMES})>|{'|'.join(map(re.escape, _SIGNS))}", re.IGNORECASE)
_OPENING = re.compile(rf"\s*+(?:{_ANY_OPENING.pattern})", re.IGNORECASE)
_CLOSING = re.compile(rf"</(?:{_NAMES})>|{'|'.join(map(re.escape, _SIGNS.values()))}", re.IGNORECASE)

_SPECIAL = (
    r"<\|[A-Za-z_]{1,30}\|>|<｜[^｜<>\n]{1,40}｜>"
    r"|<(?:start|end)_of_(?:turn|utterance)>|</?(?:bos|eos|pad|s)>|\[/?INST\]"
)
_ANY_SPECIAL = re.compile(_SPECIAL)
_FIRST_TOKENS = re.compile(rf"(?:\s*+(?:{_SPECIAL})(?:(?:assistant|model)\b)?+)++")
_LAST_TOKENS = re.compile(rf"(?:{_SPECIAL})(?:[ \t]{{0,8}}+(?:{_SPECIAL})){{0,8}}+$")
_NEXT_ROLE = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|(?:user|system|observation)\|>|<｜User｜>|\[INST\]"
)
"""Where a model that has missed the end of its reply goes on with somebody else's message."""

_CHANNEL = re.compile(
    r"(?:<\|start\|>assistant)?(?:\A\s*+(?=analysis|commentary|final)|<\|channel\|>\s*+)(\w{1,20})[^<\n]{0,60}+"
    r"(?:<\|constrain\|>[^<\n]{0,40}+)?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_ANALYSIS = re.compile(r"\s*+analysis(?=[A-Z])")
"""A harmony reply whose server has removed the tokens: "analysisThe user asks … assistantfinal## Reasoning"."""
_MAX_PASSES = 8


def without_thoughts(text: str) -> str:
    """Return what a reply says: without thoughts, other channels and special tokens, unless they are in code.

    A thought without an end takes the rest of the reply. If only the end is marked, as some chat templates leave it,
    everything before it is the thought. Of gpt-oss's channels only the final one is the reply.
    """
    # Databases refuse a NUL, and terminals half a surrogate pair.
    text = text.replace("\0", "").encode(errors="replace").decode().strip()
    for _ in range(_MAX_PASSES):  # what is removed may have stood in front of more
        before = text
        text = _without_markup(text).strip()
        if text == before:
            break
    return text


def _without_markup(text: str) -> str:
    text = _final_channel(text)
    text = text[_leading_thoughts_end(text) :]
    if first := _FIRST_TOKENS.match(text):
        text = text[first.end() :]
    *_, end = [None, *_CLOSING.finditer(text)]
    thought = text[: end.start()] if end else ""
    if end and not _ANY_OPENING.search(thought) and thought.count("`") % 2 == 0 and thought.count("~~~") % 2 == 0:
        text = text[end.end() :]
    had_thoughts = _ANY_OPENING.search(text)
    if not had_thoughts and not _ANY_SPECIAL.search(text):
        return text
    text = "\n".join(_spoken(text))
    if had_thoughts and not _ANY_OPENING.search(text):
        text = _CLOSING.sub("", text)  # a stray end: the next parse would take all before it for a thought
    return text


@lru_cache
def _closing(opening: str) -> re.Pattern[str]:
    """Return the pattern of the end of a thought that begins like this."""
    opening = opening.lower()
    return re.compile(re.escape(_SIGNS.get(opening) or f"</{opening[1:]}"), re.IGNORECASE)


def _leading_thoughts_end(text: str) -> int:
    position = 0
    while opening := _OPENING.match(text, position):
        closing = _closing(opening[0].strip()).search(text, opening.end())
        if closing is None:
            return len(text)
        position = closing.end()
    return position


def _spoken(text: str) -> Iterator[str]:
    """Yield a reply's lines up to the next role, without the thoughts that begin a line and the tokens that end one."""
    ending: re.Pattern[str] | None = None
    for line, fenced in lines(text):
        position, thought = 0, False
        while True:
            if ending is None:
                if fenced or not (opening := _OPENING.match(line, position)):
                    break
                ending, position = _closing(opening[0].strip()), opening.end()
            closing, thought = ending.search(line, position), True
            if closing is None:
                position = len(line)
                break
            position, ending = closing.end(), None
        rest = line[position:]
        role = None if fenced else _NEXT_ROLE.search(rest)
        if role and rest.count("`", 0, role.start()) % 2 == 0:
            yield rest[: role.start()]
            return
        if not fenced and "<s>" not in rest and (tokens := _LAST_TOKENS.search(rest.rstrip())):
            rest = rest[: tokens.start()].rstrip()
        if rest.strip() or not thought:
            yield rest


def _final_channel(text: str) -> str:
    """Return what a reply in gpt-oss's harmony form says in its final channel; any other text as it is."""
    headers = list(_CHANNEL.finditer(text))
    if not headers:
        if not _BARE_ANALYSIS.match(text):
            return text
        return text.rpartition("assistantfinal")[2] if "assistantfinal" in text else ""
    start = headers[0].start()
    if text.count("`", 0, start) % 2:
        return text
    before = _CHANNEL_END.sub("", text[:start]).strip().removesuffix("assistant")
    final = [before] if before else []
    for header in headers:
        if header[1] == "final":
            end = _CHANNEL_END.search(text, header.end())
            final.append(text[header.end() : end.start() if end else None])
    return "\n".join(final)
