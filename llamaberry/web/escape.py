"""Texts that a model or a user wrote, as markdown for the page: no HTML and no image of theirs remains."""

import re
from collections.abc import Callable

from llamaberry.console import plain
from llamaberry.graph.markdown import lines

_CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_IMAGE = re.compile(r"!(?=\[)")
_MARKUP = re.compile(r"[\\`*_\[\]<>~|$&]|:(?=//)")  # the last one begins a link
_AFTER_BRACKET = "\u200b"
"""Follows each < of a question, so that it begins no tag; the text in the page's editor looks as it was written."""


def reply_markdown(text: str) -> str:
    """Return a reply as markdown: its HTML is shown as text, and its images as their source. Code is as it was."""
    return "\n".join(line if in_code else _outside_code(line, _without_html) for line, in_code in lines(plain(text)))


def _outside_code(text: str, escape: Callable[[str], str]) -> str:
    """Escape what is outside of code spans, in which markdown has no HTML."""
    parts, end = [], 0
    for span in _CODE_SPAN.finditer(text):
        parts += [escape(text[end : span.start()]), span[0]]
        end = span.end()
    return "".join([*parts, escape(text[end:])])


def _without_html(text: str) -> str:
    return _IMAGE.sub(r"!\\", text.replace("<", "&lt;"))


def words(text: str) -> str:
    """Return a short text as markdown that shows it as it is: by entities, since a backslash may begin a formula."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", plain(text))


def words_and_code(text: str) -> str:
    """Return a message of an error as markdown: its code spans are code, and the rest is shown as it is."""
    return _outside_code(plain(text), words)


def question_markdown(text: str) -> str:
    """Return a question as markdown without HTML; `question_text` is the way back."""
    return _IMAGE.sub("!" + _AFTER_BRACKET, plain(text).replace("<", "<" + _AFTER_BRACKET))


def question_text(markdown: str) -> str:
    """Return the question that was shown as this markdown."""
    return markdown.replace(_AFTER_BRACKET, "")
