"""The Python snippets of the docs run, against a real server and a scripted Groq."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from llamaberry import Context
from testing.command import LIMIT_S
from testing.scripted_groq import Reply, Request, ScriptedGroq, good_model
from testing.server import PYTHON, ROOT

DOCS = ROOT / "docs"
PAGES = ("batch.md", "embedding.md", "mcp.md", "studio.md")
PRINTED = {
    "batch.md": ["1 0"],
    "embedding.md": [
        "42 max_turns None",
        "1",
        *["turn 1 answers 42", "turn 2 answers 42", "the answer: The answer is 42."],
        "['groq:openai/gpt-oss-20b', 'groq:openai/gpt-oss-120b']",
        "multiply {'a': 17, 'b': 23} 391",
        "keep",
        "factors=[42] value=42",
        "4 calls, max_turns",
        *["The answer is 42. 2"] * 2,
        "42 42",
    ],
    "mcp.md": ["The answer is 42. max_turns"],
    "studio.md": ["4 2", "['42', '195'] The answer is 42.", "['refine_turn']"],
}


def first_calling_tools(request: Request) -> Reply | str:
    """Reply like a good model, which calls a tool in a first turn that has one."""
    if "tools" in request.body and len(request.messages) == 2:
        return Reply(calls=[("multiply", {"a": 17, "b": 23})], finish_reason="tool_calls")
    return good_model(request)


@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_a_page_run(server: tuple[str, ScriptedGroq], page: str, tmp_path: Path) -> None:
    address, groq = server
    groq.play(first_calling_tools)
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)
    code = "\n".join(blocks).replace("http://127.0.0.1:2024", address)
    env = os.environ | {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq.url}
    options = {"env": env, "cwd": tmp_path, "capture_output": True, "text": True, "timeout": LIMIT_S}
    ran = subprocess.run([*PYTHON, "-c", code], check=False, **options)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = iter(ran.stdout.splitlines())
    for line in PRINTED[page]:  # in this order, among other lines
        assert line in lines, line


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_every_linked_file_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("https://") or Path(page.parent, link).exists(), link


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_settings_page_has_every_variable() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "llamaberry").rglob("*.py")]
    names = {name for source in sources for name in re.findall(r'"(LLAMABERRY_\w+)"', source)}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_settings_page_has_every_setting() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert [name for name in Context.model_fields if f"| `{name}`" not in page and f", `{name}`" not in page] == []
