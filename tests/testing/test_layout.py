"""Helpers shared by test modules live in testing/."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_test_modules_do_not_import_each_other() -> None:
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tests"), path
