"""Which letter of a multiple choice a text chooses. Pure, and linear in the text."""

import re

from llamaberry.graph.answers import normalise
from llamaberry.graph.notation import last_box, plain_characters, plain_latex, separate_scripts, without_emphasis

# An option letter. "I" and the article "A" are words, unless they are in brackets.
_OPTION = re.compile(r"\(([A-Za-z])\)|(?<![\w'’])(?!I\b|A (?!and\b|or\b)[a-z])([A-Z])(?![\w'’])")
_LEADING = re.compile(
    r"\W*+([A-Za-z])(?:[)\]:]|\.(?!\S)|,(?! ?[A-Z]\b)| because\b)(?! ?(?:and|or|[,/&]) ?\W?[A-Za-z](?!\w))"
)
_STATED = re.compile(
    r"(?i:\b(?:answer|option|choice|choose|pick)(?: is| would be)?)[\s:(*\[]{1,5}"
    r"((?!A (?!because)[a-z])[A-Z]|[a-z](?=[)\]*.]|\s*\Z))(?![\w'’])"
    r"(?!\W{0,3}(?:and|or)\W{1,3}[A-Za-z](?!\w))"
)

_MAX_BARE = 200
"""Characters of a text that may be a letter and marks around it."""
_LETTER = r"[(\[\"'“‘]?[A-Za-z][)\]\"'”’]?(?![\w'’])"
_KIND = r"(?:the )?(?:(?:option|answer|choice|letter)s? )?"
_LETTERS = rf"(?i:{_KIND}){_LETTER}(?:(?:, ?{_LETTER}){{0,8}}+,? ?(?:and|or|nor) ?(?i:{_KIND}){_LETTER})?+"
_DENIAL = (
    r"not|no(?= [A-Z(])|never|cannot|any(?:thing)? but|everything but|all but|none (?:of|but)|neither|except(?: for)?"
    r"|excluding|without|other than|rather than|instead of|rul(?:es?|ed|ing) out|eliminat(?:es?|ed|ing)|excludes?"
    r"|rejects?|avoid"
    r"|(?:wrong|incorrect)(?: (?:answer|option|choice)s?)?:"
)
_BETWEEN = (
    r"(?: (?:be|choose|pick|select|think|believe|necessarily|the case that|true that|it is|it's|the answer is|that))"
    r"{0,4}+"
)
_IS = r"(?:is|are|was|were|(?:would|must|has to|have to) be|seems?|looks?)"
_HOW = r"(?: (?:both|all|also|clearly|obviously|definitely|certainly|simply|the|an?))?"
_IS_WRONG = (
    rf"{_IS}{_HOW} (?:wrong|incorrect|false|untrue|impossible|unlikely|excluded|eliminated|(?:ruled )?out\b)"
    rf"|{_IS}{_HOW} (?:never|not)\b"
    r"|(?:is|are|was|were|does|do|did|can|could|would)(?:n['’]t| not)\b|cannot\b"
    r"|can be (?:ruled out|excluded|eliminated)"
)
# The letters that are denied: "not B", "anything but B", "neither A nor B"; "B is wrong", "B cannot be"; "~~B~~", "!B".
_DENIED = re.compile(
    rf"(?:(?i:\b(?:{_DENIAL})(?![^\W_])|n['’]t\b)(?i:{_BETWEEN})|不是|不选|不選|并非|非)[ :]{{0,2}}{_LETTERS}"
    rf"|[!¬]\s?{_LETTER}"
)
_STRUCK = re.compile(r"~~[^~]{1,200}~~")
_WRONG = re.compile(
    rf"(?<![\w'’(\[]){_LETTERS}(?: (?i:{_IS_WRONG})|\? (?i:no)\b"
    r"| ?(?:是错|错|不对|不正确|以外|では?ない|じゃない|제외|[이가] 아니|아니))"
)


def chosen_letter(text: str) -> str:
    """Return the letter that the text chooses, in lower case; "" if it chooses none or several.

    "B", "(b)", "B) Paris", "The answer is B." and "B, not A" choose B; "not B", "B is wrong" and "A or B" do not.
    """
    box = last_box(text)
    text = plain_latex(plain_characters(text if box is None else box))
    text = without_emphasis(_STRUCK.sub(" ", separate_scripts(text)))
    text = _WRONG.sub(" ", _DENIED.sub(" ", text))
    bare = normalise(text).strip("()[]{} ") if len(text) < _MAX_BARE else ""
    if len(bare) == 1 and bare.isalpha():
        return bare
    if leading := _LEADING.match(text):
        return leading[1].casefold()
    stated = _STATED.findall(text) or [one or other for one, other in _OPTION.findall(text)]
    letters = {letter.casefold() for letter in stated}
    return letters.pop() if len(letters) == 1 else ""
