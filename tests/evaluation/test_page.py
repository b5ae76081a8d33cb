"""The report's page: self-contained, safe to open, deterministic, readable at any width."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from llamaberry.evaluation.page import page
from llamaberry.evaluation.plots import plots
from llamaberry.evaluation.report import report
from llamaberry.evaluation.results import Result
from testing.eval_results import ARMS, arm_results, small_results
from testing.pages import HOSTILE_TEXT, PageElements, save_screenshot

SETTINGS: dict[str, Any] = {"arms": ARMS, "model": "groq:m", "seed": 7, "machine": {"cores": 2}, "command": "x " * 90}


def many() -> list[Result]:
    """Six arms, with the longest names and the most steps."""
    arms = ["single", "turns:2", "turns:10", "self-consistency:3", "self-consistency:40"]
    results = [r for n, arm in enumerate(arms) for r in arm_results(arm, range(20 + n), first=range(5, 20))]
    return results + [r.model_copy(update={"arm": "turns:10+early"}) for r in arm_results("turns:10", range(3, 30))]


@pytest.fixture(scope="module")
def html() -> str:
    """The page of a report whose every text contains markup."""
    evil = [
        r.model_copy(update={"id": r.id + HOSTILE_TEXT, "task": r.task + HOSTILE_TEXT, "question": HOSTILE_TEXT})
        for r in small_results()
    ]
    return page(
        report(evil, settings=SETTINGS | {f"note {HOSTILE_TEXT}": HOSTILE_TEXT, "\x1b[31m": [HOSTILE_TEXT, "\x1b[31m"]})
    )


def test_the_page_escapes_every_text_and_fetches_nothing(html: str) -> None:
    page = PageElements(html)
    assert page.text.count("<script>alert(1)</script>") == 5  # two tasks; a key, a value, a value in a list
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "image", "link", "iframe", "a", "form"})
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "xlink:href")
            assert name != "href" or value.startswith("#")
            assert "http:" not in (value or "")
            assert "https:" not in (value or "")
    assert not re.search(r"url\((?!#)|@import", html)
    assert "default-src 'none'; style-src 'unsafe-inline'" in html
    assert "\x1b" not in html


def test_the_page_has_every_plot_and_unique_ids(html: str) -> None:
    elements = PageElements(html).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [attributes["aria-label"] for tag, attributes in elements if tag == "svg"] == [
        "Accuracy of each arm, with its 95% interval",
        "Accuracy turn by turn",
        "Answers that each step fixed and broke",
        "Accuracy against cost",
    ]
    for _, attributes in elements:
        for reference in re.findall(r"url\(#([^)]*)\)", " ".join(map(str, attributes.values()))):
            assert reference in ids
        assert "href" not in attributes or attributes["href"][1:] in ids


def test_the_page_has_recommendation_gaps_settings_and_terms(html: str) -> None:
    text = PageElements(html).text
    assert "No difference between the arms was shown with 9 questions" in text
    assert "self-consistency:3 lacks 1 of the 10 questions" in text
    assert "p is not corrected for the 3 comparisons" in text
    assert 'machine{"cores": 2}' in text
    assert "armssingle, turns:3, self-consistency:3" in text
    for term in ("Wilson", "McNemar", "concurrency"):
        assert term in text


def test_the_same_report_gives_the_same_bytes() -> None:
    one = page(report(small_results(), settings=SETTINGS))
    assert one == page(report(small_results(), settings=SETTINGS))


def test_an_empty_plot_is_omitted() -> None:
    single = [r.model_copy(update={"replies": []}) for r in small_results() if r.arm == "single"]
    assert [title for title, _ in plots(report(single, settings={}))] == ["Accuracy of each arm, with its 95% interval"]
    assert "<svg" not in page(report([], settings={}))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["small", "many"])
def test_the_page_is_readable_at_any_width_and_scheme(
    browser: Browser,
    tmp_path: Path,
    name: str,
    width: int,
    scheme: Any,
) -> None:
    results = small_results() if name == "small" else many()
    (tmp_path / "page.html").write_text(page(report(results, settings=SETTINGS)), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        messages: list[str] = []
        tab.on("console", lambda message: messages.append(message.text))
        tab.goto((tmp_path / "page.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        boxes = tab.evaluate("[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().toJSON())")
        assert len(boxes) == 4
        assert all(300 < box["width"] <= width and box["height"] > 100 for box in boxes)
        # No text of a plot crosses its edge or overlaps another text.
        outside = """[...document.querySelectorAll('svg')].flatMap(svg => {
            const edge = svg.getBoundingClientRect()
            const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()])
            const outside = texts.filter(([, b]) => b.left < edge.left - 1 || b.right > edge.right + 1
                || b.top < edge.top - 1 || b.bottom > edge.bottom + 1)
            const overlapping = texts.filter(([, a], i) => texts.some(([, b], j) => i < j
                && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3))
            return [...outside, ...overlapping].map(([text]) => `${svg.ariaLabel}: ${text}`)
        })"""
        assert tab.evaluate(outside) == []
        ink, paper = tab.evaluate("""['color', 'backgroundColor'].map(name => {
            const text = document.querySelector('svg text')
            return name == 'color' ? getComputedStyle(text).fill : getComputedStyle(document.body)[name]
        })""")
        assert ink == ("rgb(255, 255, 255)" if scheme == "dark" else "rgb(0, 0, 0)"), paper
        assert messages == []
        save_screenshot(tab, f"report-{name}-{width}-{scheme}")
    finally:
        tab.close()
