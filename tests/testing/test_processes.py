"""The marker `process` is set by what a test uses."""

import subprocess
import sys

import pytest


def start() -> None:
    """A helper that starts a process."""
    subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.fixture
def started() -> None:
    """A fixture that uses the helper."""
    start()


@pytest.mark.usefixtures("started")
def test_a_fixture_that_starts_a_process_marks_its_tests(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("process")


@pytest.mark.parametrize("run", [start])
def test_a_parameter_that_starts_a_process_marks_its_test(run: object, request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("process")


def test_a_test_without_a_process_has_no_mark(request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("process")
