"""Command-line programs: one question each, as their users ask it."""

import shutil

import pytest

from testing.clients import Clients
from testing.scripted_groq import Reply

pytestmark = pytest.mark.clients
LLM_MODEL = """\
- model_id: llamaberry
  model_name: llamaberry-quick
  api_base: {url}
  api_key_name: llamaberry
"""


@pytest.mark.skipif(not shutil.which("llm"), reason="llm is not installed")
def test_llm_prints_the_answer_or_the_reason(clients: Clients) -> None:
    (clients.folder / "extra-openai-models.yaml").write_text(LLM_MODEL.format(url=clients.url))
    settings = {"LLM_USER_PATH": str(clients.folder)}
    clients.run("llm", "keys", "set", "llamaberry", "--value", "any", **settings)
    assert clients.run("llm", "-m", "llamaberry", "What is 6 times 7?", **settings) == "42\n"
    clients.groq.play([Reply(status=401)])
    assert "GROQ_API_KEY" in clients.run("llm", "-m", "llamaberry", "What is 6 times 7?", status=1, **settings)
