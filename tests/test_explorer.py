"""The API explorer: a person calls a provider, sees what went out and came back, and it is on the record."""

import base64
import html
import json
import os
import re
import subprocess

import pytest
from django.core.cache import cache

from console import streams
from console.models import Event
from installations.auth import Token
from installations.models import Installation
from installations.proxying import calling, explored
from tests.proxied import connected
from tests.rotating import connected as connected_at_rotating
from tests.rotating import store_client
from tests.stand_ins.quirks import Quirks, answer, chunked

pytestmark = pytest.mark.django_db
KEY = "sk_live_1/+%ü\"&"


@pytest.fixture(autouse=True)
def _alone():
    calling._doubtful.clear()
    yield
    while streams._kept:
        streams._kept.pop()[1].close()
    # A call that has ended has left its room.
    assert calling.Room._under_way == {}


@pytest.fixture
def provider(settings):
    with Quirks(answer('{"items": []}', close=False)) as server:
        settings.STAND_IN_ORIGINS = {"https://*": server.origin}
        yield server


@pytest.fixture
def stripe(account):
    return connected(account, "stripe", "restricted_key", Token(values={"api_key": "sk_live_1"}))


@pytest.fixture
def harbor(account, heartland):
    token = Token(values={"access_token": heartland.token()})
    host = {"host": "harbor.retail.heartland.us"}
    return connected(account, "heartland-retail", "api_key", token, discovered=host)


def page_of(row: Installation) -> str:
    return f"/installations/{row.pk}/explore/"


def explore(person, row, method="GET", path="", *, status=200, **form) -> str:
    """The text of the page, without its escapes."""
    answer = person.client.post(page_of(row), {"method": method, "path": path, **form})
    text = answer.content.decode()
    assert answer.status_code == status, text
    return text


def calls():
    return list(Event.objects.filter(kind=explored.KIND))


def test_a_call_shows_what_went_out_and_what_came_back_and_is_on_the_record(owner, harbor):
    page = html.unescape(explore(owner, harbor, path="items?per_page=1", headers="Accept-Language: de"))
    assert "GET https://harbor.retail.heartland.us/api/items?per_page=1" in page
    assert "Authorization: Bearer •••" in page
    assert "Accept-Language: de" in page
    assert "200 OK" in page
    assert '\n  "results": [\n    {' in page
    (event,) = calls()
    assert (event.subject_id, event.actor) == (harbor.pk, owner.user.email)
    assert event.details | {"ms": 0} == {"method": "GET", "path": "/items", "status": 200, "ms": 0}
    assert "per_page" not in repr(vars(event))
