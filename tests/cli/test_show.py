"""`llamaberry show`: a past run as a tree and as a page, from its checkpoints."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaberry.runs.past_run import MAX_DIFF_WORDS, diff
from testing.command import CSI, LIMIT_S, QUESTION, llamaberry, run_in_terminal, running_command, usage_error
from testing.pages import HOSTILE_TEXT, PageElements
from testing.scripted_groq import NO_RETRY, Reply, Scripted, first, refine, synthesis
from testing.scripts import REVISED_ANSWER

USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
CACHED = USAGE | {"prompt_tokens_details": {"cached_tokens": 900}}
texts = st.lists(st.sampled_from(["a", "b", "c", "1,000", "ü", "**x**"]), max_size=12).map(" ".join)


@given(texts, texts)
def test_a_diff_contains_both_texts_in_order(before: str, after: str) -> None:
    pieces = list(diff(before, after))
    assert " ".join(text for kind, text in pieces if kind != "new") == before
    assert " ".join(text for kind, text in pieces if kind != "gone") == after
    assert before != after or {kind for kind, _ in pieces} <= {"same"}


def test_very_long_answers_are_compared_as_a_whole() -> None:
    words = [str(number) for number in range(MAX_DIFF_WORDS)]
    assert [kind for kind, _ in diff(" ".join(words), " ".join(reversed(words)))] == ["gone", "new"]
    assert [kind for kind, _ in diff(" ".join(words), " ".join(words))] == ["same"]


def test_show_prints_each_node_with_its_figures_and_changes(scripted: Scripted) -> None:
    answers = [first("It is 41 km"), refine("It is 42 km", "revise"), refine("It is 42 km."), synthesis()]
    scripted([Reply(text, usage=usage) for text, usage in zip(answers, [USAGE, *[CACHED] * 3], strict=True)])
    llamaberry("ask", "How far?", "--thread", "T", "--verify", "none")
    run = llamaberry("show", "T")
    assert (run.returncode, run.stderr) == (0, "")
    assert re.sub(r"[\d.]+ s\b", "… s", run.stdout).split("\n") == [
        "How far?",
        "├── turn 1 · … s · 1,000 prompt (0 cached) + 10 output tokens · $0.000156",
        "│   └── It is 41 km",
        "├── turn 2 · revise · … s · 1,000 prompt (900 cached) + 10 output tokens · $0.0000885 · the answer changed",
        "│   └── It is [-41-] {+42+} km",
        "├── turn 3 · keep · … s · 1,000 prompt (900 cached) + 10 output tokens · $0.0000885",
        "│   └── It is 42 [-km-] {+km.+}",
        "└── synthesis · … s · 1,000 prompt (900 cached) + 10 output tokens · $0.0000885",
        "    └── [-It is-] 42 [-km.-]",
        "",
        "The answer is 42.",
        "",
        "thread T · 3 turns · all turns used · groq:openai/gpt-oss-120b · "
        "4,000 prompt (2,700 cached) + 40 output tokens · $0.000421 · … s",
        "",
    ]


def test_a_terminal_has_bars_of_time_and_tokens(scripted: Scripted) -> None:
    replies = [first("41"), refine("42", "revise"), synthesis()]
    counts = [USAGE | {"total_tokens": number} for number in (200, 1000, 500)]
    scripted([Reply(text, usage=usage) for text, usage in zip(replies, counts, strict=True)])
    llamaberry("ask", "How far?", "--turns", "2", "--verify", "none")
    output = run_in_terminal("show", "last", NO_COLOR="1", COLUMNS="60")
    bars = re.findall(r"^(turn 1|turn 2|synthesis) +[█▏▎▍▌▋▊▉ ]+[\d.]+ s (█+) +([\d,]+ tokens)", output, re.MULTILINE)
    assert [(name, len(bar), tokens) for name, bar, tokens in bars] == [
        ("turn 1", 2, "200 tokens"),
        ("turn 2", 10, "1,000 tokens"),
        ("synthesis", 5, "500 tokens"),
    ]


def test_show_last_prints_the_newest_question_and_all_prints_all(scripted: Scripted) -> None:
    scripted()
    llamaberry("ask", "Old?", "--thread", "old")
    llamaberry("ask", "One?", "--thread", "new")
    llamaberry("ask", "Two?", "--thread", "new")
    newest = llamaberry("show", "last").stdout
    assert newest.startswith("Two?\n")
    assert newest.endswith("1 earlier on this thread: --all prints them\n")
    every = llamaberry("show", "new", "--all").stdout
    assert [question in every for question in ("Old?", "One?", "Two?", "earlier")] == [False, True, True, False]


def test_show_prints_degraded_interrupted_and_single_turn_runs(scripted: Scripted) -> None:
    scripted([first("41"), *[Reply(status=400, error="No luck")]])
    llamaberry("ask", "Q", "--thread", "lost")
    lost = llamaberry("show", "lost").stdout
    assert "No luck" in lost
    assert "synthesis" not in lost
    scripted([first("41")])
    llamaberry("ask", "Q", "--thread", "single", "--turns", "1")
    assert "1 turn · all turns used" in llamaberry("show", "single").stdout
    scripted([first("41"), Reply(hang=True)])
    llamaberry("ask", "Q", "--thread", "cut", "--turns", "1")
    scripted([Reply(status=503, headers=NO_RETRY)])
    llamaberry("ask", "And?", "--thread", "cut")
    cut = llamaberry("show", "cut").stdout
    assert "0 turns · interrupted" in cut
    assert cut.endswith("`llamaberry resume cut` continues it\n1 earlier on this thread: --all prints them\n")


def test_names_with_escape_codes_do_not_reach_the_terminal(scripted: Scripted) -> None:
    scripted()
    llamaberry("ask", "Q", "--thread", "T", "--model", f"groq:m{CSI}31m")
    assert CSI not in llamaberry("show", "last").stdout


def test_without_colour_changes_are_marked(scripted: Scripted) -> None:
    scripted(REVISED_ANSWER)
    llamaberry("ask", "Q", "--thread", "T")
    output = llamaberry("show", "T", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "[-41-] {+**42**+}" in re.sub(r"\x1b\[[\d;]*m", "", output)


def test_a_missing_thread_is_an_error_with_a_remedy(scripted: Scripted, tmp_path: Path) -> None:
    assert "no thread is stored yet" in usage_error("show", "last")
    assert "there is no thread 'x': `llamaberry history`" in usage_error("show", "x")
    assert "no thread is stored yet" in usage_error("ask", "Q", "-c")
    assert "leave one out" in usage_error("ask", "Q", "-c", "--thread", "T")
    scripted()
    llamaberry("ask", "Q", "--thread", "T")
    assert "cannot be written" in usage_error("show", "T", "--html", str(tmp_path / "no" / "page.html"))


@pytest.fixture
def page(scripted: Scripted, tmp_path: Path) -> str:
    """The page of a run whose texts all contain markup."""
    scripted(
        [
            first(f"41 {HOSTILE_TEXT}"),
            refine(f"42 {HOSTILE_TEXT}", "revise", review=HOSTILE_TEXT),
            synthesis(HOSTILE_TEXT, f"42 {HOSTILE_TEXT}"),
        ]
    )
    llamaberry("ask", f"How far? {HOSTILE_TEXT}{CSI}31m", "--thread", "T", "--turns", "2", "--verify", "none")
    run = llamaberry("show", "T", "--html", str(tmp_path / "page.html"))
    assert (run.returncode, run.stdout) == (0, f"written to {tmp_path / 'page.html'}\n")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_page_escapes_every_text_and_loads_nothing(page: str) -> None:
    parsed = PageElements(page)
    assert parsed.text.count("<script>alert(1)</script>") > 5
    assert {tag for tag, _ in parsed.elements}.isdisjoint({"script", "img", "link", "iframe", "a", "form"})
    assert not [
        name for _, attrs in parsed.elements for name in attrs if name in ("src", "href") or name.startswith("on")
    ]
    assert ("meta", {"http-equiv": "Content-Security-Policy"}) in [
        (t, {k: a[k] for k in a if k != "content"}) for t, a in parsed.elements
    ]
    assert "default-src 'none'" in page
    assert "\x1b" not in page


def test_the_page_folds_replies_and_marks_changed_answers(page: str) -> None:
    parsed = PageElements(page)
    nodes = [attrs["class"] for tag, attrs in parsed.elements if tag == "article" and "class" in attrs]
    assert nodes == ["node", "node changed", "node"]
    assert [attrs for tag, attrs in parsed.elements if tag == "details"] == [{}] * 3
    assert "<del>41</del>" in page
    assert "<ins>42</ins>" in page


def test_show_accepts_a_closed_pipe(scripted: Scripted) -> None:
    scripted()
    llamaberry("ask", "--quiet", QUESTION)
    with running_command("show", "last") as run:
        assert run.stdout
        run.stdout.close()
        assert run.wait(LIMIT_S) == 0
        assert run.stderr
        assert run.stderr.read() == ""


def test_the_page_has_bars_of_time_and_tokens(page: str) -> None:
    parsed = PageElements(page)
    bars = [attrs for tag, attrs in parsed.elements if tag == "div" and attrs.get("class", "").startswith("bar")]
    assert [attrs["class"] for attrs in bars] == ["bar seconds", "bar tokens"] * 3
    widths = [attrs["style"] for attrs in bars]
    assert widths.count("width: 100.0%") >= 2  # the longest step, and the largest


def test_open_shows_the_page_in_a_browser(scripted: Scripted, tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o700)
    scripted()
    llamaberry("ask", "Q", "--thread", "T")
    run = llamaberry("show", "T", "--html", str(tmp_path / "page 1.html"), "--open", BROWSER=str(browser))
    assert (run.returncode, run.stderr) == (0, "")
    assert opened.read_text() == (tmp_path / "page 1.html").as_uri()


def test_open_without_a_page_is_refused() -> None:
    assert "--html FILE --open" in usage_error("show", "last", "--open")
