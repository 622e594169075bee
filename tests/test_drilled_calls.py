"""What calls through the API must bear, as an operator drills it."""

import pytest

from tests.drills import calls
from tests.product import full

pytestmark = pytest.mark.django_db(transaction=True)


def test_large_bodies_pass_through_flat_memory(field):
    figure = calls.large_bodies(field, full(20, 200))
    assert figure, figure


def test_hostile_providers_and_callers_get_nothing(field):
    figure = calls.hostile(field)
    assert figure, figure


def test_garbage_keys_leave_good_calls_their_place(field):
    figure = calls.garbage_keys(field)
    assert figure, figure
