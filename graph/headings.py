"""The headings of a reply, and the sections under them. Pure, and linear in the text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from llamaberry.graph.markdown import lines

_SIGNS = r"(?:[^\w\s#*_`~<>:：=.,;|\\$'\"({+-]{1,6}[ \t]*+)"  # emoji, brackets


def headings_pattern(names: dict[str, str]) -> re.Pattern[str]:
    """Return the pattern of a line that is a heading; `names` are the forms of each name, as a pattern."""
    any_name = "|".join(f"(?P<{name}>{forms})" for name, forms in names.items())
    return re.compile(
        r"(?:[ \t]{0,3}(?P<hashes>#{1,6}(?:[ \t]++#{1,6}){0,2})[ \t]*+)?"
        rf"(?P<bold>\*\*|__)?[ \t]*+(?:{any_name})(?![^\W_])[ \t]*+{_SIGNS}?"
        r"(?P<colon>[:：])?(?(bold)[ \t]*+(?P<closed>\*\*|__)?)[ \t]*+(?P<colon2>[:：])?(?P<rest>.*)",
        re.IGNORECASE | re.DOTALL,
    )


_MARKS = {"hashes", "bold", "colon", "closed", "colon2", "rest"}
_DECORATION = re.compile(
    r"(?P<item>[ \t]*+(?:(?:>|[-+*•]|\d{1,2}[.)])[ \t]++){1,3})?"
    r"(?P<hashes>[ \t]{0,3}(?:#{1,6}[ \t]*+|={2,6}[ \t]++|<h[1-6]>[ \t]*+))?"
    rf"(?P<sign>{_SIGNS})?(?P<bold>\*\*|__)?[ \t]*+(?P<sign2>{_SIGNS})?"
    r"(?P<number>(?P<word>(?:step|part|section)[ \t]++)?[#(]?(?:\d{1,2}|[ivx]{1,4}(?=[.):]))(?!\w)"
    r"(?:\ufe0f?\u20e3|[.):、]{0,2})[ \t]*+(?:[-–—:][ \t]++)?)?"
    rf"(?P<shut>\*\*[ \t]*+|__[ \t]*+)?(?P<sign3>{_SIGNS})?",
    re.IGNORECASE,
)
"""What some models put before the name of a heading: a bullet, an emoji, a number."""
_HEADING_END = re.compile(r"(?:[ \t]*#+|[ \t]*={2,6}|[ \t]*</h[1-6]>)[ \t]*$")
_UNDERLINE = re.compile(r"[ \t]{0,3}(?:={3,}|-{3,})[ \t]*")
_RULE = re.compile(r"\n[ \t]*(?:-{3,}|\*{3,}|_{3,})$")
_FIELD = re.compile(r"[ \t]*+\[\[[ \t]*+#")
"""The beginning of "[[ ## answer ## ]]": DSPy asks for an answer in such fields, so they are part of it."""
_ANY_NAME = re.compile("reasoning|answer|review|verdict|analysis|comparison", re.IGNORECASE)
"""The words that the names of headings contain: most lines are no heading, and need no closer look."""


class Section(NamedTuple):
    """The name of a heading, and the text below it."""

    name: str
    body: str


def read_sections(text: str, headings: re.Pattern[str], *, labels: bool) -> Iterator[Section]:
    """Yield the sections under known headings, in order; an unknown heading is part of its section.

    A heading has a `#` or is in bold or underlined; with `labels`, "Answer: …" at the start of a line or of a list's
    item is one, too.
    """
    name, body, level = "", list[str](), 6
    all_lines = [*lines(text), ("", False)]
    underline = -1
    for i, (line, fenced) in enumerate(all_lines[:-1]):
        if i == underline:
            continue
        if fenced or not _ANY_NAME.search(line) or _FIELD.match(line):
            body.append(line)
            continue
        heading = _read_heading(line, headings, level, labels=labels)
        if heading is None and _UNDERLINE.fullmatch(all_lines[i + 1][0]):
            heading = _read_heading(f"# {line}", headings, level, labels=labels)
        if heading is None:
            body.append(line)
            continue
        if name:
            yield Section(name, _body(body))
        name, rest, level = heading
        body = [rest]
        underline = i + 1 if not rest and _UNDERLINE.fullmatch(all_lines[i + 1][0]) else -1
    if name:
        yield Section(name, _body(body))


def _read_heading(line: str, headings: re.Pattern[str], level: int, *, labels: bool) -> tuple[str, str, int] | None:
    """Return the name of a line's heading, the text beside it, and its level; None if the line is no heading.

    `level` is that of the heading before. A numbered heading below that one may be a step of its section.
    """
    match = headings.match(line)
    own_level = level
    if not match:
        line, numbered, own_level = _plain_heading(line, level)
        if not (match := headings.match(line)) or (numbered and not labels and own_level > level):
            return None
    elif match["hashes"]:
        own_level = len(match["hashes"])
    if not _is_heading(match, labels=labels):
        return None
    name = str(next(key for key in headings.groupindex if key not in _MARKS and match[key]))
    rest = match["rest"].strip()
    if match["bold"] and not match["closed"]:
        rest = rest.removesuffix(match["bold"]).strip()
    if not (match["colon"] or match["colon2"]):
        rest = rest.strip("# \t")
        rest = rest if any(character.isalnum() for character in rest) else ""
    return name, rest, own_level


def _plain_heading(line: str, level: int) -> tuple[str, bool, int]:
    """Return a line without the decoration before the name of a heading, whether it had a number, and its level.

    An item of a list, "Step 4" and a number in bold may be steps: their level is below every heading's.
    """
    mark = _DECORATION.match(line)
    hashes, bold = (mark["hashes"] or "", mark["bold"] or "") if mark else ("", "")
    if not mark or not (
        hashes.strip(" \t#") or any(mark[part] for part in ("item", "number", "sign", "sign2", "sign3"))
    ):
        return line, False, level
    rest = line[mark.end() :]
    if mark["shut"]:  # "**4.** Answer", or "4. **Answer**"
        bold = "" if bold else mark["shut"].strip()
    if hashes:
        rest = _HEADING_END.sub("", rest)
    is_step = mark["item"] or mark["word"] or (mark["number"] and not hashes)
    own_level = 7 if is_step else (hashes.count("#") or level)
    return f"{'#' * bool(hashes)} {bold}{rest}".lstrip(), bool(is_step or mark["number"]), own_level


def _body(lines: list[str]) -> str:
    return _RULE.sub("", "\n".join(lines).strip()).strip()


def _is_heading(match: re.Match[str], *, labels: bool) -> bool:
    rest = match["rest"].strip("# \t")
    bare = not any(character.isalnum() for character in rest)
    alone = bare or (bool(match.groupdict().get("verdict")) and rest.startswith("("))  # "**Verdict** (keep)"
    colon = match["colon"] or match["colon2"]
    if match["bold"]:
        return bool((alone and match["closed"]) or colon)
    return bool((match["hashes"] and (alone or colon)) or (labels and colon))
