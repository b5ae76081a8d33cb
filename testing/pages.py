"""HTML pages under test: their elements, hostile text, and screenshots."""

import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from playwright.sync_api import Page as BrowserPage

SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder for screenshots
HOSTILE_TEXT = '<script>alert(1)</script> <img src="https://example.org/x.png"> & "q"'


class PageElements(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def save_screenshot(page: BrowserPage, name: str) -> None:
    """Save a screenshot if SCREENSHOTS is set."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
