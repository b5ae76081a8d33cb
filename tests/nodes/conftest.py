"""Fixtures of the node tests."""

import pytest

from testing.entry_points import DOORS, Door


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    """Return each of the graph's entry points."""
    return DOORS[request.param]
