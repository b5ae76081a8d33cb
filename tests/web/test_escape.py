"""Texts of models and users as markdown: no HTML and no image of theirs remains."""

import pytest

from llamaberry.web.escape import question_markdown, question_text, reply_markdown, words, words_and_code


@pytest.mark.parametrize(
    ("reply", "markdown"),
    [
        ("a < b", "a &lt; b"),
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("`<b>` and <b>", "`<b>` and &lt;b>"),
        ("``<b> ` <i>`` <u>", "``<b> ` <i>`` &lt;u>"),
        ("```html\n<b>\n```\n<b>", "```html\n<b>\n```\n&lt;b>"),
        ("```html\n<b>", "```html\n&lt;b>"),
        ("![x](https://example.org/x.png)", "!\\[x](https://example.org/x.png)"),
        ("\u202e<b>\x1b", "&lt;U+202E>&lt;b>"),
    ],
)
def test_a_reply_keeps_its_markdown_and_no_html(reply: str, markdown: str) -> None:
    assert reply_markdown(reply) == markdown


def test_a_short_text_has_no_markup_left() -> None:
    assert words("*a* <b> [c](d)") == "&#42;a&#42; &#60;b&#62; &#91;c&#93;(d)"
    assert words("42: http://x") == "42: http&#58;//x"


def test_an_error_keeps_its_code_and_no_other_markup() -> None:
    assert words_and_code("run `llamaberry resume` or *a* <b>") == "run `llamaberry resume` or &#42;a&#42; &#60;b&#62;"


def test_an_edited_question_is_the_one_that_was_asked() -> None:
    question = "Is a <b> < ![c](d)?"
    assert question_text(question_markdown(question)) == question
    assert "<b" not in question_markdown(question)
    assert "![" not in question_markdown(question)
