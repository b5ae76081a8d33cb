"""Evaluation tools ask the questions of a task of their own, and score the answers."""

import json
import shutil
from pathlib import Path

import pytest

from testing.clients import Clients

pytestmark = pytest.mark.clients
LM_EVAL_TASK = """\
task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: sums.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "What is {{a}} times {{b}}?"
doc_to_target: "{{product}}"
generation_kwargs: {until: ["Question:"], max_gen_toks: 300}
filter_list:
  - name: number
    filter: [{function: regex, regex_pattern: "([0-9]+)"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
INSPECT_TASK = """\
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match
from inspect_ai.solver import generate


@task
def sums():
    samples = [Sample(f"What is {a} times {b}?", target="42") for a, b in ((6, 7), (2, 21))]
    return Task(dataset=samples, solver=generate(), scorer=match(numeric=True))
"""


@pytest.mark.skipif(not shutil.which("lm_eval"), reason="lm-eval is not installed")
def test_lm_eval_scores_the_answers(clients: Clients) -> None:
    (clients.folder / "sums.yaml").write_text(LM_EVAL_TASK)
    lines = [json.dumps({"a": a, "b": b, "product": 42}) for a, b in ((6, 7), (2, 21))]
    (clients.folder / "sums.jsonl").write_text("\n".join(lines))
    model = f"model=llamaberry-quick,base_url={clients.url}/chat/completions,num_concurrent=2"
    words = ["--model", "local-chat-completions", "--model_args", model, "--tasks", "sums", "--include_path", "."]
    clients.run("lm_eval", *words, "--apply_chat_template", "--output_path", "results")
    (path,) = Path(clients.folder, "results").glob("*/results_*.json")
    results = json.loads(path.read_text())
    assert results["results"]["sums"]["exact_match,number"] == 1
    assert len(clients.groq.requests) == 2


@pytest.mark.skipif(not shutil.which("inspect"), reason="inspect-ai is not installed")
def test_inspect_scores_the_answers_and_shows_the_reasoning(clients: Clients) -> None:
    (clients.folder / "sums.py").write_text(INSPECT_TASK)
    settings = {"LLAMABERRY_BASE_URL": clients.url, "LLAMABERRY_API_KEY": "any"}
    words = ["--model", "openai-api/llamaberry/llamaberry", "--display", "plain", "--log-format", "json"]
    assert "accuracy  1.000" in clients.run("inspect", "eval", "sums.py", *words, **settings)
    (path,) = Path(clients.folder, "logs").glob("*.json")
    reasoning, text = json.loads(path.read_text())["samples"][0]["output"]["choices"][0]["message"]["content"]
    assert reasoning["reasoning"].startswith("# turn 1")
    assert text["text"] == "The answer is 42."
