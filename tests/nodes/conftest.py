"""What the tests of nodes share."""

import pytest

from testing.entry_points import DOORS, Door


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    """Every way into the graph: sync and async, whole and streamed."""
    return DOORS[request.param]
