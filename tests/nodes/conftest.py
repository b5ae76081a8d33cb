"""Fixtures of the node tests."""

import pytest

from testing.entry_points import ENTRY_POINTS, EntryPoint


@pytest.fixture(params=ENTRY_POINTS)
def entry_point(request: pytest.FixtureRequest) -> EntryPoint:
    """Return each of the graph's entry points."""
    return ENTRY_POINTS[request.param]
