"""What is to be done in the background is done once, whatever becomes of the workers."""

import pytest

from tests.drills import killing
from tests.drills.field import Field
from tests.product import full
from tests.rotating import rotating, rotating_process  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def field(rotating):  # noqa: F811
    made = Field(rotating)
    yield made
    made.end()


def test_workers_that_are_killed_lose_no_job_and_do_none_twice(field):
    figure = killing.killed_workers(field, full(10, 50), jobs=full(100, 400), renewals=full(20, 40))
    assert figure, figure
