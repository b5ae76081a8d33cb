"""The module that serves the page."""

import subprocess
import sys

import pytest

pytest.importorskip("gradio")


def test_its_import_leaves_the_environment_alone() -> None:
    code = "import os; before = dict(os.environ); import llamaberry.web.serve; assert os.environ == before"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
