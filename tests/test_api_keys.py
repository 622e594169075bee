"""API keys as people make, change, rotate and revoke them, and the pages about the API."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from console.api import api
from console.api_pages import PAGES_ALONE
from console.api_reference import reference
from console.models import Account, ApiKey, Event
from console.problems import PROBLEMS

pytestmark = pytest.mark.django_db

ADD = "/company/api-keys/add/"
FORM = {"name": "Nightly import", "environment": "live", "scopes": ["read"], "expires": "90"}


def make(client: Client, **fields) -> str:
    """A key made by the form: its text."""
    answer = client.post(ADD, FORM | fields)
    assert answer.status_code == 200, answer.context["form"].errors
    return text_on(answer)


def text_on(answer) -> str:
    (text,) = set(re.findall(r"pc_(?:live|test)_\w{12}_\w{49}", answer.content.decode()))
    return text


def call(text: str, path: str = "accounts") -> int:
    headers = {"Authorization": f"Bearer {text}"}
    return Client(HTTP_HOST="console.test").get(f"/api/v1/{path}", headers=headers).status_code


def page(row: ApiKey, what: str = "") -> str:
    return f"/company/api-keys/{row.pk}/{what}"


# ── making ──────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_shown_in_the_answer_that_made_it_and_nowhere_else(owner):
    answer = owner.client.post(ADD, FORM)
    text = text_on(answer)
    assert answer["Cache-Control"] == "no-store"
    assert "Authorization: Bearer $API_KEY" in answer.content.decode()
    assert call(text) == 200
    row = ApiKey.objects.get()
    for path in ("/company/api-keys/", page(row), page(row, "rotate/"), page(row, "revoke/")):
        shown = owner.client.get(path).content.decode()
        assert row.beginning in shown
        assert text.rpartition("_")[2] not in shown
    made = Event.objects.get(kind="api_key.made")
    assert (made.actor, made.subject_id) == (owner.user.email, row.pk)


def test_a_form_that_is_sent_twice_makes_one_key(owner, stranger):
    signed = owner.client.get(ADD).context["form"].initial["id"]
    make(owner.client, id=signed)
    again = owner.client.post(ADD, FORM | {"id": signed})
    assert (again.status_code, again["Location"]) == (302, "/company/api-keys/")
    assert ApiKey.objects.count() == 1
    # Another partner's form is of no use here: it makes a key of one's own.
    make(stranger.client, id=signed)
    assert ApiKey.objects.filter(partner=stranger.partner).count() == 1
    assert Event.objects.filter(kind="api_key.made").count() == 2


def test_what_is_chosen_is_what_the_key_has(owner, account):
    make(
        owner.client,
        environment="test",
        scopes=["read", "credentials"],
        account="cust-1",
        networks="203.0.113.7\r\n2001:db8::/32, 203.0.113.7",
        expires="on",
        expires_on=f"{timezone.now().date() + timedelta(days=7)}",
    )
    row = ApiKey.objects.get()
    assert (row.environment, row.scopes, row.account) == ("test", ["read", "credentials"], account)
    assert row.networks == ["203.0.113.7", "2001:db8::/32"]
    after = timezone.now().date() + timedelta(days=8)
    assert row.expires_at == datetime(after.year, after.month, after.day, tzinfo=UTC)
    assert row.beginning.startswith("pc_test_")
    make(owner.client, account=str(account.pk), expires="never")
    newest = ApiKey.objects.first()
    assert (newest.account, newest.expires_at) == (account, None)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", ""),
        ("scopes", []),
        ("scopes", ["everything"]),
        ("environment", "staging"),
        ("account", "nobody"),
        ("networks", "somewhere"),
        ("networks", "203.0.113.7/24"),
        ("networks", "\n".join(f"203.0.113.{number}" for number in range(51))),
        ("expires", "31"),
        ("expires_on", ""),
        ("expires_on", "2020-01-01"),
        ("expires_on", "9999-12-31"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(owner, field, wrong):
    more = {"expires": "on"} if field == "expires_on" else {}
    answer = owner.client.post(ADD, FORM | more | {field: wrong})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert not ApiKey.objects.exists()


def test_an_account_of_another_partner_is_one_that_does_not_exist(stranger, account):
    for text in (account.external_id, str(account.pk)):
        assert stranger.client.post(ADD, FORM | {"account": text}).status_code == 422
    assert Account.objects.filter(pk=account.pk).exists()
    assert not ApiKey.objects.exists()


# ── changing and ending ─────────────────────────────────────────────────────────────────────────


def test_what_a_key_may_do_is_changed_from_one_call_to_the_next(owner):
    text = make(owner.client)
    row = ApiKey.objects.get()
    assert call(text) == 200
    changed = owner.client.post(page(row), {"name": "Export", "scopes": ["proxy"], "networks": ""})
    assert changed.status_code == 302
    assert call(text) == 403
    owner.client.post(page(row), {"name": "Export", "scopes": ["read"], "networks": "203.0.113.0/24"})
    assert call(text) == 403
    row.refresh_from_db()
    assert (row.name, row.networks) == ("Export", ["203.0.113.0/24"])
    assert Event.objects.filter(kind="api_key.changed").count() == 2


def test_a_rotation_is_done_once_and_the_text_before_counts_as_long_as_chosen(owner):
    first = make(owner.client)
    row = ApiKey.objects.get()
    of = owner.client.get(page(row, "rotate/")).context["form"].initial["of"]
    second = text_on(owner.client.post(page(row, "rotate/"), {"overlap": "1", "of": of}))
    again = owner.client.post(page(row, "rotate/"), {"overlap": "0", "of": of})
    assert (again.status_code, again["Location"]) == (302, page(row))
    assert [call(first), call(second)] == [200, 200]
    assert Event.objects.get(kind="api_key.rotated").details == {"overlap_hours": 1}
    of = owner.client.get(page(row, "rotate/")).context["form"].initial["of"]
    third = text_on(owner.client.post(page(row, "rotate/"), {"overlap": "0", "of": of}))
    assert [call(text) for text in (first, second, third)] == [401, 401, 200]


def test_a_revoked_key_opens_nothing_from_then_on_and_is_neither_changed_nor_rotated(owner):
    text = make(owner.client)
    row = ApiKey.objects.get()
    assert "From this moment on" in owner.client.get(page(row, "revoke/")).content.decode()
    assert call(text) == 200
    assert owner.client.post(page(row, "revoke/")).status_code == 302
    assert call(text) == 401
    for what in ("", "rotate/", "revoke/"):
        answer = owner.client.post(page(row, what), {"name": "x", "scopes": ["read"], "overlap": "0"})
        assert (answer.status_code, answer["Location"]) == (302, page(row)), what
    row.refresh_from_db()
    assert (row.state, row.name) == ("revoked", "Nightly import")
    assert Event.objects.filter(kind="api_key.revoked").count() == 1


def test_a_list_without_keys_says_what_to_do_next(owner):
    text = owner.client.get("/company/api-keys/").content.decode()
    assert "No API keys yet" in text
    assert ADD in text


# ── the pages about the API ─────────────────────────────────────────────────────────────────────


def test_the_reference_holds_every_operation_with_its_scope(owner):
    text = owner.client.get("/api/reference/").content.decode()
    document = api.get_openapi_schema()
    for path, operations in document["paths"].items():
        assert path in text
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in text
            assert operation["security"][0]["ApiKey"]
    assert "installations: Installation" not in text
    assert "redirect_uri" in text  # of a body that is nested


def test_no_part_of_a_page_has_the_name_of_another(owner):
    for path in ("/api/reference/", "/api/problems/"):
        found = re.findall(r'\bid="([^"]+)"', owner.client.get(path).content.decode())
        assert len(found) == len(set(found)), path


def test_each_problem_leads_to_its_text(client):
    text = Client(HTTP_HOST="console.test").get("/api/problems/").content.decode()
    for code in PROBLEMS:
        assert (f'id="{code}"' in text) is (code not in PAGES_ALONE), code
    assert not re.search(r"\{\w+\}", text)
    assert "Heartland Retail refused the request" in text
    assert "Your company has to finish something first" in text


def test_each_code_that_the_reference_names_stands_there_with_its_status():
    operations = [operation for _, found in reference().tags for operation in found]
    named = {
        (code, status)
        for operation in operations
        for status, _, codes in operation.problems
        for code in codes
    }
    assert ("in_use", 409) in named
    assert [(code, status) for code, status in named if PROBLEMS[code].status != status] == []
    assert not {code for code, _ in named} & PAGES_ALONE


def test_a_problem_that_a_call_meets_is_among_them():
    answer = Client(HTTP_HOST="console.test").get("/api/v1/accounts").json()
    assert answer["type"] == "http://console.test/api/problems/#key_missing"


def test_every_problem_that_the_code_of_the_api_names_has_a_text():
    from pathlib import Path

    from django.conf import settings

    root = Path(settings.BASE_DIR)
    places = [*root.glob("*/api.py"), *root.glob("*/api/*.py"), *root.glob("console/*.py")]
    places = [place for place in places if place.name not in ("views.py", "middleware.py", "tenancy.py")]
    named = {
        code for place in places for code in re.findall(r'ProblemError\(\s*"(\w+)"', place.read_text("utf-8"))
    }
    assert {"key_missing", "not_connected", "in_use"} <= named
    assert not named & PAGES_ALONE
