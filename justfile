# The commands of CONTRIBUTING.md by short names; each is one plain command.
set windows-shell := ["powershell.exe", "-NoLogo", "-Command"]

# List the commands
default:
    @just --list

# Set up this clone for development
setup:
    {{ if os() == "windows" { "python" } else { "python3" } }} scripts/setup.py

# Tests that start no process and take little CPU
fast *args:
    python -m pytest -q -n auto -m "not process and not slow" {{args}}

# The whole test suite
test *args:
    python -m pytest -n auto {{args}}

# Lint and format check
lint:
    python -m ruff check .
    python -m ruff format --check .

# Type check
types:
    python -m mypy

# The whole test suite with line and branch coverage
coverage *args:
    python -m pytest -n auto --cov --cov-report term {{args}}
