"""A virtual clock for the tests of credentials."""

import pytest

from tests.virtual_clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
