"""Documentation in plain English: words and phrases that no reader would search for stay out of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = "told|anew|heeds?|whoever|to be had|gone on with|h[au]ng(s|ing)? up|none of ours|dials?"
AVOIDED = re.compile(rf"\b({WORDS})\b", re.IGNORECASE)
SOURCES = [path for folder in ("graph", "nodes", "llamaberry") for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "evals").glob("*.md")]


def documentation(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings, attribute docstrings, help texts and comments of a module with their lines."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
        elif isinstance(node, ast.keyword) and node.arg in ("help", "description", "title"):
            yield node.value.lineno, ast.unparse(node.value)
    for number, line in enumerate(source.splitlines(), 1):
        if comment := re.search(r"(?:^|\s)# (.*)", line):
            yield number, comment[1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sources_are_documented_in_plain_english(path: Path) -> None:
    assert [f"line {line}: {text}" for line, text in documentation(path) if AVOIDED.search(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_are_in_plain_english(path: Path) -> None:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    assert [f"line {number}: {line}" for number, line in lines if AVOIDED.search(line)] == []
