"""Webhooks out across workers that are killed, and beside an endpoint that is slow.

Row 39 of the scorecard: 10,000 of 10,000 after 100 kills; a sample by default, FULL=1 makes them all.
"""

import pytest

from tests.drills import webhooks
from tests.product import full

pytestmark = pytest.mark.django_db(transaction=True)


def test_workers_that_are_killed_lose_no_message_and_send_none_that_never_happened(field):
    figure = webhooks.killed_workers(field, full(200, 10_000), full(8, 100))
    assert figure, str(figure)


def test_a_slow_endpoint_delays_no_other(field):
    figure = webhooks.slow_endpoint(field, full(60, 1_000), full(25, 200))
    assert figure, str(figure)
