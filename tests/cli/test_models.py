"""`llamaberry models`: what can be used here."""

import json
from pathlib import Path
from typing import Any

import pytest

from llamaberry.models.available import GROQ_MODELS, available
from llamaberry.models.local import server as local_server
from llamaberry.models.settings import DEFAULT_MODEL
from testing.command import llamaberry


@pytest.fixture
def local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of the local model, and packages that run it."""
    packages = tmp_path / "packages"
    for name in local_server.PACKAGES:
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(packages))
    file = local_server.pulled_path()
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def document() -> Any:
    return json.loads(llamaberry("models", "--json").stdout)


def test_auto_is_groq_with_a_key(monkeypatch: pytest.MonkeyPatch, local_file: Path) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    assert available().auto == DEFAULT_MODEL


def test_auto_is_the_local_model_without_a_key(local_file: Path) -> None:
    here = available()
    assert (here.auto, here.local) == (f"local:{local_file.stem}", str(local_file))


def test_what_is_missing_comes_with_the_remedy(local_file: Path) -> None:
    local_file.unlink()
    here = available()
    assert (here.auto, here.local) == (None, None)
    assert "llamaberry model pull" in str(here.local_problem)
    assert "export GROQ_API_KEY" in str(here.auto_problem)


def test_groq_models_have_prices() -> None:
    prices = {price.model: price for price in available().groq}
    assert list(prices) == [f"groq:{name}" for name in GROQ_MODELS]
    assert all(0 < price.input_usd < price.output_usd for price in prices.values())


def test_an_installed_provider_is_listed_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("langchain_anthropic", "langchain_ollama"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    listed = {provider.name: provider for provider in available().providers}
    assert (listed["anthropic"].key_variable, listed["anthropic"].key_is_set) == ("ANTHROPIC_API_KEY", True)
    assert (listed["ollama"].key_variable, listed["ollama"].key_is_set) == (None, True)


def test_a_list_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    lines = llamaberry("models").stdout.splitlines()
    assert lines[0] == f"auto · {DEFAULT_MODEL}"
    assert "groq · GROQ_API_KEY is set" in lines
    assert any(line.split()[:2] == [DEFAULT_MODEL, "$0.15"] for line in lines)


def test_no_key_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret")
    assert "gsk_secret" not in llamaberry("models").stdout + llamaberry("models", "--json").stdout


def test_your_own_default_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('model = "openai/gpt-oss-20b"\n')
    assert document()["default"] == "openai/gpt-oss-20b"
    assert llamaberry("models").stdout.startswith("your default · openai/gpt-oss-20b\n")
