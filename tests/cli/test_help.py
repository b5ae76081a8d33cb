"""Every command's help: an example, exit codes, defaults and bounds, and nothing cut at 80 columns."""

import re
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from llamaberry.cli.main import COMMANDS, app

WIDTH = 80


def help_lines(command: str) -> list[str]:
    words = [command, "--help"] if command else ["--help"]
    run = CliRunner().invoke(app, words, prog_name="llamaberry", env={"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": None})
    assert run.exit_code == 0
    return run.stdout.splitlines()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_whole_with_examples_and_exit_codes(command: str) -> None:
    lines = help_lines(command)
    text = " ".join(" ".join(lines).split())
    assert [line for line in lines if len(line) > WIDTH] == []
    assert "..." not in text.replace("[ARGS]...", "")
    example = lines[lines.index("  Examples:") + 1]
    assert command in example.split()[1:] or command == ""
    assert re.search(r"Exit codes: 0 .*; 2 something to fix", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_defaults_and_bounds(command: str) -> None:
    text = " ".join(" ".join(help_lines(command)).split())
    group: Any = get_command(app)
    for option in group.get_command(None, command).params:
        if option.default not in (None, False, ()):
            assert f"default:{option.default}" in "".join(text.split()), option.name
        for bound in (option.min, option.max) if hasattr(option, "min") else ():
            assert bound is None or re.search(rf"\b{bound}<=x|x>={bound}\b|x<={bound}\b", text), option.name
    assert "--max-tokens" not in text or "[default: 2048; at least 64, at most 65536]" in text


def test_every_example_is_a_command_that_is_accepted() -> None:
    """Its options exist; what it would do is not done."""
    group: Any = get_command(app)
    for command in COMMANDS:
        known = {name for option in group.get_command(None, command).params for name in option.opts}
        lines = help_lines(command)
        examples = lines[lines.index("  Examples:") + 1 : lines.index("", lines.index("  Examples:"))]
        used = set(re.findall(r"(?<=\s)--?[a-z][\w-]*", " ".join(examples)))
        assert used <= known, command
