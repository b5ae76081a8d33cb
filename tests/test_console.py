"""What reaches a terminal or a page of an untrusted text."""

from llamaberry.console import as_json, one_line, plain
from llamaberry.html import tag

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def test_bidirectional_controls_become_visible() -> None:
    """They would show a text in another order than the one in which a reader copies it."""
    visible = "".join(f"<U+{ord(character):04X}>" for character in BIDI)
    assert (plain(BIDI), one_line(f"a{BIDI[7]}b"), tag("p", BIDI).text) == (visible, "a<U+202E>b", visible)
    assert as_json({"text": "\u202e"}) == '{\n  "text": "\\u202e"\n}'


def test_other_text_of_any_script_stays() -> None:
    text = "שלום\tمرحبا 👩\u200d👩\u200d👧 नमस्ते\u200c \N{NO-BREAK SPACE}é\n"
    assert plain(text) == text
