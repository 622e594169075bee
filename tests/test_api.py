"""The API as a partner's software meets it: keys, problems, pages of lists, calls that are repeated."""

import base64
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from connectors.models import ConnectorSettings
from console import bearer
from console.api_requests import answer_to
from console.models import Account, ApiCall, ApiKey, Event, Job, Membership
from console.models.api_key import prefix_of
from installations.models import Credential, Installation, Setup, SetupLink, Status
from tests.calling import Caller, caller
from tests.conftest import work

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nobody_was_good_before():
    bearer._seen_good.clear()


@pytest.fixture
def api(northwind) -> Caller:
    return caller(northwind)


def refused(response, code: str, status: int) -> dict:
    """The problem, in the form of RFC 9457."""
    assert response["Content-Type"] == "application/problem+json", response.content
    body = response.json()
    assert (body["code"], body["status"], response.status_code) == (code, status, status), body
    assert body["type"] == f"http://console.test/api/problems/#{code}"
    assert body["request_id"] == response["X-Request-Id"]
    assert body["title"]
    assert "{" not in body["title"] + body["detail"]
    return body


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_opens_what_its_partner_has(api, account):
    (found,) = api("GET", "/accounts").json()["data"]
    assert found["id"] == str(account.pk)


def test_a_key_is_stored_as_a_digest_alone(api):
    stored = str(ApiKey.objects.filter(pk=api.key.pk).values().get())
    assert api.written not in stored
    assert api.written.split("_")[3] not in stored


def test_without_a_key_there_is_no_answer(api):
    response = Caller(api.key, "")("GET", "/accounts")
    refused(response, "key_missing", 401)
    # RFC 6750, section 3.1: only who sent a key is told what is wrong with it.
    assert response["WWW-Authenticate"] == 'Bearer realm="Partner Console"'
    response = Caller(api.key, "pc_live_mistyped")("GET", "/accounts")
    refused(response, "key_malformed", 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="Partner Console", error="invalid_token"'


def test_head_is_answered_as_get_is_without_a_body(api, account):
    path = f"/accounts/{account.pk}"
    whole, head = api("GET", path), api("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert (head["ETag"], head["Content-Type"]) == (whole["ETag"], "application/json")
    assert api("HEAD", path, If_None_Match=whole["ETag"]).status_code == 304


def test_a_session_of_the_console_is_no_key(owner):
    refused(owner.client.get("/api/v1/accounts"), "key_missing", 401)


@pytest.mark.parametrize("place", [0, 4, 12, 30, -1])
def test_a_key_with_one_wrong_character_costs_no_question_to_the_database(
    api, place, django_assert_num_queries
):
    other = "X" if api.written[place] != "X" else "Y"
    wrong = list(api.written)
    wrong[place] = other
    with django_assert_num_queries(0):
        refused(Caller(api.key, "".join(wrong))("GET", "/accounts"), "key_malformed", 401)


@pytest.mark.parametrize("text", ["", "x", "pc_live_a_b", "ä" * 80, "pc_live_" + "a" * 3000, "_" * 73])
def test_what_is_no_key_has_no_prefix(text):
    assert prefix_of(text) == ""


def test_a_key_that_nobody_has_is_refused_and_counted(api, settings):
    strange = Caller(api.key, ApiKey(environment="live").issue())
    for _ in range(bearer.UNKNOWN_PER_MINUTE):
        refused(strange("GET", "/accounts"), "key_unknown", 401)
    body = strange("GET", "/accounts")
    refused(body, "too_many_tries", 429)
    assert 0 < int(body["Retry-After"]) <= 60
    # From elsewhere it may still be tried, and a key that was good is let in from anywhere.
    refused(strange("GET", "/accounts", address="198.51.100.7"), "key_unknown", 401)


def test_guessing_beside_it_shuts_no_good_key_out(api):
    assert api("GET", "/accounts").status_code == 200
    strange = Caller(api.key, ApiKey(environment="live").issue())
    for _ in range(bearer.UNKNOWN_PER_MINUTE + 5):
        strange("GET", "/accounts")
    assert api("GET", "/accounts").status_code == 200


def test_an_expired_a_revoked_and_a_paused_key_open_nothing(api, northwind):
    later = timezone.now() + timedelta(seconds=60)
    ApiKey.objects.update(expires_at=later)
    assert api("GET", "/accounts").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now())
    refused(api("GET", "/accounts"), "key_expired", 401)
    ApiKey.objects.update(expires_at=None)
    northwind.is_active = False
    northwind.save()
    refused(api("GET", "/accounts"), "partner_disabled", 403)
    northwind.is_active = True
    northwind.save()
    assert api.key.revoke()
    assert not api.key.revoke()
    refused(api("GET", "/accounts"), "key_revoked", 401)


def test_a_rotated_key_counts_on_for_the_overlap(api):
    old = Caller(api.key, api.written)
    new = Caller(api.key, api.key.rotate(timedelta(hours=1)))
    assert old("GET", "/accounts").status_code == new("GET", "/accounts").status_code == 200
    ApiKey.objects.update(previous_until=timezone.now())
    refused(old("GET", "/accounts"), "key_unknown", 401)
    assert new("GET", "/accounts").status_code == 200
    newest = Caller(api.key, ApiKey.objects.get().rotate(timedelta(0)))
    refused(new("GET", "/accounts"), "key_unknown", 401)
    assert newest("GET", "/accounts").status_code == 200


def test_a_revoked_key_is_not_rotated(api):
    api.key.revoke()
    assert api.key.rotate(timedelta(hours=1)) == ""


def test_a_key_is_confined_to_its_networks(northwind):
    api = caller(northwind, networks=["203.0.113.0/24", "2001:db8::/32"])
    for address in ("203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9"):
        assert api("GET", "/accounts", address=address).status_code == 200
    for address in ("203.0.114.1", "2001:db9::1", "127.0.0.1", "nonsense"):
        refused(api("GET", "/accounts", address=address), "network_refused", 403)


def test_a_key_does_what_its_scopes_say(northwind, account, installation):
    reader = caller(northwind, ["read"])
    assert reader("GET", f"/installations/{installation.pk}").status_code == 200
    response = reader("POST", "/accounts", {"name": "X"})
    assert "write" in refused(response, "scope_missing", 403)["words"]
    assert 'error="insufficient_scope"' in response["WWW-Authenticate"]
    refused(reader("GET", f"/installations/{installation.pk}/credential"), "scope_missing", 403)
    fetcher = caller(northwind, ["credentials"])
    refused(fetcher("GET", f"/installations/{installation.pk}"), "scope_missing", 403)
    refused(fetcher("GET", f"/installations/{installation.pk}/credential"), "not_connected", 409)


def test_a_key_of_one_account_sees_no_other(northwind, account, installation):
    other = Account.objects.create(partner=northwind, name="Other")
    theirs = Installation.objects.create(partner=northwind, account=other, connector="heartland-retail")
    api = caller(northwind, account=account)
    assert [row["id"] for row in api("GET", "/accounts").json()["data"]] == [str(account.pk)]
    assert [row["id"] for row in api("GET", "/installations").json()["data"]] == [str(installation.pk)]
    for path in ("", "/credential", "/events", "/setup-links"):
        refused(api("GET", f"/installations/{theirs.pk}{path}"), "not_found", 404)
    refused(api("DELETE", f"/installations/{theirs.pk}"), "not_found", 404)
    refused(api("GET", "/events"), "account_key", 403)
    refused(api("GET", "/connectors/heartland-retail/settings"), "account_key", 403)
    refused(api("POST", "/accounts", {"name": "X"}), "account_key", 403)
    body = api("POST", "/installations", {"account_id": str(other.pk), "connector": "heartland-retail"})
    assert refused(body, "invalid_request", 422)["errors"][0]["pointer"] == "#/account_id"
    assert api("GET", f"/installations/{installation.pk}/events").status_code == 200


def test_a_test_key_reaches_try_outs_alone(northwind, account, installation):
    api = caller(northwind, environment="test")
    assert api.written.startswith("pc_test_")
    assert api("GET", "/installations").json()["data"] == []
    refused(api("GET", f"/installations/{installation.pk}"), "not_found", 404)
    made = api("POST", "/installations", {"account_id": str(account.pk), "connector": "heartland-retail"})
    assert made.status_code == 201
    assert Installation.objects.get(pk=made.json()["id"]).is_tryout
    refused(caller(northwind)("GET", f"/installations/{made.json()['id']}"), "not_found", 404)
    # It can be set up: of a connector of the library there is no draft.
    assert api("POST", f"/installations/{made.json()['id']}/setup-links", {}).status_code == 201


def test_a_test_key_changes_no_account(northwind, account):
    api = caller(northwind, environment="test")
    path = f"/accounts/{account.pk}"
    assert api("GET", path).status_code == 200
    refused(api("PATCH", path, {"name": "X"}), "test_key", 403)
    refused(api("DELETE", path), "test_key", 403)
    refused(api("POST", "/accounts", {"name": "X"}), "test_key", 403)
    confined = caller(northwind, account=account)
    refused(confined("DELETE", path), "account_key", 403)
    assert confined("PATCH", path, {"name": "Y"}).status_code == 200


def test_a_key_of_somebody_else_sees_nothing_of_it(contoso, account, installation):
    api = caller(contoso)
    assert api("GET", "/accounts").json()["data"] == []
    refused(api("GET", f"/accounts/{account.pk}"), "not_found", 404)
    refused(api("GET", f"/installations/{installation.pk}"), "not_found", 404)


def test_use_is_noted_to_the_minute_and_costs_no_write_each_time(api, django_assert_num_queries):
    api("GET", "/events")
    first = ApiKey.objects.get().last_used_at
    assert first
    assert timezone.now() - first < timedelta(minutes=1)
    with django_assert_num_queries(2) as asked:
        api("GET", "/events")
    assert not [query for query in asked if query["sql"].startswith("UPDATE")]
    assert ApiKey.objects.get().last_used_at == first


def test_a_key_has_so_many_calls_a_minute_and_is_told_how_many_are_left(api, settings):
    settings.API_CALLS_PER_MINUTE = 3
    left = [api("GET", "/accounts")["RateLimit"].split(";")[1] for _ in range(3)]
    # At most one minute ended meanwhile.
    assert left[0] in ("r=2",)
    assert len(left) == 3
    response = [api("GET", "/accounts") for _ in range(4)][-1]
    refused(response, "too_many_calls", 429)
    assert response["RateLimit-Policy"] == '"calls";q=3;w=60'
    assert response["RateLimit"].startswith('"calls";r=0;t=')
    assert 0 < int(response["Retry-After"]) <= 60


# ── problems ────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_there_and_what_is_not_taken_are_problems_too(api):
    refused(api("GET", "/nothing"), "not_found", 404)
    refused(api("GET", f"/installations/{uuid4()}"), "not_found", 404)
    refused(api("GET", "/installations/x"), "not_found", 404)
    response = api("PUT", "/accounts")
    refused(response, "method_not_allowed", 405)
    assert set(response["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


# Deep enough for what calls itself, and not for the JSON reader.
DEEP = b'{"name": ' + b"[" * 900 + b"]" * 900 + b"}"


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 2000, DEEP, b"\xff\xfe", b'"text"', b"null", b"[1]"])
def test_a_body_that_is_none_is_a_problem(api, content):
    client = Client(HTTP_HOST="console.test", raise_request_exception=False)
    response = client.generic(
        "POST",
        "/api/v1/accounts",
        content,
        content_type="application/json",
        headers={"Authorization": f"Bearer {api.written}"},
    )
    assert response.status_code in (400, 422), response.content
    assert response["Content-Type"] == "application/problem+json"
    assert not Account.objects.exists()


def test_a_body_of_many_megabytes_is_a_problem(api):
    refused(api("POST", "/accounts", {"name": "x" * 3_000_000}), "body_too_large", 413)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/name"),
        ({"name": ""}, "#/name"),
        ({"name": "x" * 101}, "#/name"),
        ({"name": "a\0b"}, "#"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": 7}, "#/name"),
        ({"name": "A", "naem": "B"}, "#/naem"),
        ({"name": "A", "email": "nobody"}, "#/email"),
        ({"name": "A", "external_id": "cust-1"}, "#/external_id"),
    ],
)
def test_a_wrong_member_is_named(api, account, body, pointer):
    found = refused(api("POST", "/accounts", body), "invalid_request", 422)
    assert pointer in [error["pointer"] for error in found["errors"]], found["errors"]
    assert Account.objects.count() == 1


def test_what_somebody_deletes_at_this_moment_is_not_found(rf):
    request = rf.post("/api/v1/accounts")
    request.reference = "ABCDEFGH"
    response = answer_to(request, Account.DoesNotExist())
    assert (response.status_code, json.loads(response.content)["code"]) == (404, "not_found")


def test_what_breaks_says_nothing_of_itself(api, monkeypatch, caplog):
    def breaks(*args, **kwargs):
        raise RuntimeError("secret in the words")

    monkeypatch.setattr("console.api.page", breaks)
    response = api("GET", "/accounts")
    refused(response, "api_down", 500)
    assert b"secret" not in response.content
    assert "secret" not in caplog.text
    assert response["X-Request-Id"] in caplog.text


# ── lists, ETags ────────────────────────────────────────────────────────────────────────────────


def test_pages_of_a_list_hold_everything_once_while_others_are_added(api, northwind):
    made = {str(Account.objects.create(partner=northwind, name=f"Shop {number}").pk) for number in range(7)}
    # Made at the same moment, as by an import: the id tells them apart.
    Account.objects.update(created_at=timezone.now())
    seen, cursor = [], ""
    while True:
        found = api("GET", f"/accounts?limit=3{cursor}").json()
        seen += [row["id"] for row in found["data"]]
        Account.objects.create(partner=northwind, name="Later")
        if not found["next"]:
            break
        cursor = f"&cursor={found['next']}"
    assert len(seen) == 7
    assert set(seen) == made


def cursor_at(moment: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([moment, str(UUID(int=1))]).encode()).decode().rstrip("=")


# Their time in UTC lies outside the years that there are.
BEFORE_ALL, AFTER_ALL = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "e30",
        "WzEsMl0",
        "%00",
        "bnVsbA",
        "WyIyMDI2LTAxLTAxIiwgIngiXQ",
        cursor_at(BEFORE_ALL),
        cursor_at(AFTER_ALL),
    ],
)
def test_a_cursor_that_is_none_is_a_problem(api, cursor):
    refused(api("GET", f"/accounts?cursor={cursor}"), "invalid_cursor", 400)
    refused(api("GET", f"/connectors?cursor={cursor}"), "invalid_cursor", 400)


def test_connectors_come_in_pages_and_are_found(api):
    first = api("GET", "/connectors?limit=2").json()
    second = api("GET", f"/connectors?limit=2&cursor={first['next']}").json()
    assert len({row["key"] for row in first["data"] + second["data"]}) == 4
    found = api("GET", "/connectors?q=heartland").json()["data"]
    assert found[0]["key"] == "heartland-retail"
    refused(api("GET", "/connectors/none-such"), "not_found", 404)


def test_lists_are_narrowed(api, account, installation):
    Installation.objects.filter(pk=installation.pk).update(status=Status.CONNECTED)
    for query, many in [
        ("state=connected", 1),
        ("state=needs_attention", 0),
        (f"account_id={account.pk}", 1),
        (f"account_id={uuid4()}", 0),
        ("connector=heartland-retail", 1),
        ("connector=slack", 0),
    ]:
        assert len(api("GET", f"/installations?{query}").json()["data"]) == many, query
    assert len(api("GET", "/accounts?external_id=cust-1").json()["data"]) == 1
    assert len(api("GET", "/accounts?q=harbor").json()["data"]) == 1
    refused(api("GET", "/installations?state=fine"), "invalid_request", 422)
    # A filter that is mistyped is not "all".
    found = refused(api("GET", "/installations?stat=connected"), "invalid_request", 422)
    assert found["errors"][0]["pointer"] == "stat"
    assert "state" in found["errors"][0]["detail"]


def test_what_has_not_changed_is_not_sent_again(api, account):
    first = api("GET", f"/accounts/{account.pk}")
    again = api("GET", f"/accounts/{account.pk}", If_None_Match=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    Account.objects.update(name="Other")
    assert api("GET", f"/accounts/{account.pk}", If_None_Match=first["ETag"]).status_code == 200


def test_who_read_an_earlier_state_does_not_write_over_a_later_one(api, account):
    etag = api("GET", f"/accounts/{account.pk}")["ETag"]
    assert api("PATCH", f"/accounts/{account.pk}", {"name": "First"}, If_Match=etag).status_code == 200
    refused(api("PATCH", f"/accounts/{account.pk}", {"name": "B"}, If_Match=etag), "precondition_failed", 412)
    account.refresh_from_db()
    assert (account.name, account.external_id) == ("First", "cust-1")


def at_once(times: int, call: Callable) -> list[int]:
    """The statuses of so many calls that are made in as many threads."""
    statuses = []

    def made():
        statuses.append(call().status_code)
        connection.close()

    threads = [threading.Thread(target=made) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.django_db(transaction=True)
def test_of_those_who_change_the_same_state_at_once_one_does(api, account):
    path = f"/accounts/{account.pk}"
    etag = api("GET", path)["ETag"]
    statuses = at_once(8, lambda: api("PATCH", path, {"name": str(uuid4())}, If_Match=etag))
    assert sorted(statuses) == [200, *[412] * 7]


@pytest.mark.django_db(transaction=True)
def test_who_changes_some_settings_at_once_with_others_keeps_theirs(api):
    path = "/connectors/heartland-retail/settings"
    api("PATCH", path, {"values": {"client_id": "id-1"}})
    for year in range(2030, 2032):
        changes = [{"secret_expires_on": f"{year}-01-01"}, {"auth_methods": ["api_key"]}]
        api("PATCH", path, {"auth_methods": []})
        bodies = iter(changes * 2)
        assert at_once(4, lambda bodies=bodies: api("PATCH", path, next(bodies))) == [200] * 4
        stored = ConnectorSettings.objects.get()
        assert (stored.secret_expires_on.year, stored.auth_methods) == (year, ["api_key"])


# ── repeated calls ──────────────────────────────────────────────────────────────────────────────


def test_a_call_that_is_repeated_is_done_once_and_answered_alike(api):
    first, second = (api("POST", "/accounts", {"name": "X"}, Idempotency_Key="k1") for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first["Location"] == second["Location"]
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert Account.objects.count() == 1
    refused(api("POST", "/accounts", {"name": "Y"}, Idempotency_Key="k1"), "idempotency_key_reused", 422)
    assert api("POST", "/accounts", {"name": "Y"}, Idempotency_Key="k2").status_code == 201


def test_another_key_of_the_api_may_use_the_same_idempotency_key(api, northwind):
    api("POST", "/accounts", {"name": "X"}, Idempotency_Key="k1")
    other = caller(northwind)("POST", "/accounts", {"name": "X"}, Idempotency_Key="k1")
    assert other.status_code == 201
    assert "Idempotent-Replayed" not in other


def test_what_was_refused_is_tried_anew(api, account):
    body = {"name": "X", "external_id": "cust-1"}
    refused(api("POST", "/accounts", body, Idempotency_Key="k"), "invalid_request", 422)
    account.delete()
    assert api("POST", "/accounts", body, Idempotency_Key="k").status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 201])
def test_an_idempotency_key_of_another_form_is_refused(api, key):
    refused(api("POST", "/accounts", {"name": "X"}, Idempotency_Key=key), "idempotency_key_unusable", 400)


def test_a_call_whose_process_was_killed_is_done_after_a_while(api):
    api("POST", "/accounts", {"name": "X"}, Idempotency_Key="k")
    call = ApiCall.objects.get()
    ApiCall.objects.filter(pk=call.pk).delete()
    ApiCall.objects.create(
        pk=call.pk,
        partner=call.partner,
        api_key=call.api_key,
        key_digest=call.key_digest,
        request_digest=call.request_digest,
        held_until=timezone.now() + timedelta(minutes=1),
    )
    response = api("POST", "/accounts", {"name": "X"}, Idempotency_Key="k")
    refused(response, "idempotency_under_way", 409)
    assert response["Retry-After"] == "2"
    ApiCall.objects.update(held_until=timezone.now())
    assert api("POST", "/accounts", {"name": "X"}, Idempotency_Key="k").status_code == 201


def test_an_answer_is_kept_for_a_day(api):
    api("POST", "/accounts", {"name": "X"}, Idempotency_Key="k")
    ApiCall.objects.update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    assert api("POST", "/accounts", {"name": "Y"}, Idempotency_Key="k").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_twenty_calls_at_once_under_one_key_make_one_account(api):
    api("GET", "/events")
    statuses = at_once(20, lambda: api("POST", "/accounts", {"name": "X"}, Idempotency_Key="k"))
    assert Account.objects.count() == 1
    assert set(statuses) <= {201, 409}
    assert 201 in statuses


# ── what is done ────────────────────────────────────────────────────────────────────────────────


def test_an_account_lives_its_life(api, northwind):
    made = api("POST", "/accounts", {"name": "Harbor", "external_id": "c-9", "email": "a@example.com"})
    path = made["Location"].removeprefix("/api/v1")
    assert api("GET", path).json() == made.json()
    assert api("PATCH", path, {"email": None}).json()["email"] is None
    row = Installation.objects.create(
        partner=northwind, account_id=made.json()["id"], connector="heartland-retail"
    )
    refused(api("DELETE", path), "in_use", 409)
    row.delete()
    assert api("DELETE", path).status_code == 204
    refused(api("GET", path), "not_found", 404)
    kinds = list(Event.objects.values_list("kind", flat=True))
    assert kinds.count("account.saved") == 2
    assert "account.deleted" in kinds
    assert set(Event.objects.values_list("actor", flat=True)) == {"API key Import"}


def test_a_connectors_settings_go_in_and_its_secrets_never_come_out(api, heartland):
    path = "/connectors/heartland-retail/settings"
    etag = api("GET", path)["ETag"]
    stored = api(
        "PATCH", path, {"values": {"client_id": "id-1", "client_secret": "hush-hush"}}, If_Match=etag
    )
    assert stored.status_code == 200
    assert b"hush-hush" not in stored.content
    assert stored.json()["state"] == "complete"
    by_name = {prop["name"]: prop for prop in stored.json()["properties"]}
    assert by_name["client_secret"]["is_stored"]
    assert by_name["client_secret"]["value"] is None
    assert by_name["client_id"]["value"] == "id-1"
    assert by_name["client_id"]["stored_by"] == "API key Import"
    refused(api("PATCH", path, {"values": {}}, If_Match=etag), "precondition_failed", 412)
    assert ConnectorSettings.objects.get().values == {"client_id": "id-1", "client_secret": "hush-hush"}
    # What is not named stays; null removes, a secret too.
    assert api("PATCH", path, {"values": {"client_secret": None}}).json()["state"] == "partial"
    assert ConnectorSettings.objects.get().values == {"client_id": "id-1"}
    found = refused(api("PATCH", path, {"values": {"clientid": "x"}}), "invalid_request", 422)
    assert found["errors"][0]["pointer"] == "#/values/clientid"
    assert api("GET", "/connectors/heartland-retail").json()["settings"] == "partial"


def test_a_new_client_id_that_costs_consents_has_to_be_meant(field):
    api = caller(field.partner)
    field.connected(2, ends_in=3600)
    path = "/connectors/rotating-test/settings"
    found = refused(api("PATCH", path, {"values": {"client_id": "another"}}), "would_need_consent", 409)
    assert "2 installations" in found["words"]
    body = {"values": {"client_id": "another"}, "accept_reauthorisation": True}
    assert api("PATCH", path, body).status_code == 200


def test_an_installation_is_made_and_set_up_by_a_link(api, northwind, account):
    body = {"account_id": str(account.pk), "connector": "heartland-retail", "name": "Till 1"}
    made = api("POST", "/installations", body)
    assert made.status_code == 201
    assert made.json()["state"] == "not_set_up"
    path = made["Location"].removeprefix("/api/v1")
    asked = {"email": "maya@example.com", "return_url": northwind.return_urls[0]}
    first = api("POST", f"{path}/setup-links", asked, Idempotency_Key="once")
    again = api("POST", f"{path}/setup-links", asked, Idempotency_Key="once")
    assert first.status_code == 201
    assert first.content == again.content
    assert len(mail.outbox) == 1
    assert SetupLink.objects.count() == 1
    url = first.json()["url"]
    assert Client(HTTP_HOST="console.test").get(url.removeprefix("http://console.test")).status_code == 302
    # Nowhere else is its address: not in a list, and sealed where the answer is kept.
    listed = api("GET", f"{path}/setup-links")
    assert "url" not in listed.json()["data"][0]
    assert url.split("/")[-2].encode() not in bytes(ApiCall.objects.get().__dict__["answer"])
    link = f"{path}/setup-links/{first.json()['id']}"
    assert api("DELETE", link).status_code == 204
    assert SetupLink.objects.get().state == "revoked"
    assert api("DELETE", link).status_code == 204
    assert Event.objects.filter(kind="setup_link.revoked").count() == 1
    found = refused(
        api("POST", f"{path}/setup-links", {"return_url": "https://evil.example/"}), "invalid_request", 422
    )
    assert found["errors"][0]["pointer"] == "#/return_url"


def test_a_new_authorisation_that_is_refused_begins_no_setup(api, installation):
    path = f"/installations/{installation.pk}"
    again = f"{path}/reauthorise"
    refused(api("POST", again, {"return_url": "https://evil.example/"}), "invalid_request", 422)
    assert not Setup.objects.exists()
    assert api("POST", again, {"switch_account": True}).status_code == 201
    assert Setup.objects.get().switch_account
    Setup.objects.all().delete()
    Installation.objects.update(connector="gone")
    for address in (again, f"{path}/setup-links"):
        refused(api("POST", address, {"email": "maya@example.com"}), "connector_gone", 409)
    assert SetupLink.objects.count() == 1


def test_an_installation_is_changed_switched_and_deleted(api, installation):
    path = f"/installations/{installation.pk}"
    changed = api("PATCH", path, {"name": "Till 2"})
    assert changed.json()["name"] == "Till 2"
    assert api("POST", f"{path}/disable").json()["state"] == "disabled"
    refused(api("POST", f"{path}/setup-links", {}), "installation_disabled", 409)
    assert api("POST", f"{path}/enable").json()["state"] == "not_set_up"
    Installation.objects.update(disabled_at=timezone.now(), disabled_by_support=True)
    refused(api("POST", f"{path}/enable"), "installation_disabled", 409)
    assert api("POST", f"{path}/disconnect").status_code == 200
    kinds = [row["kind"] for row in api("GET", f"{path}/events").json()["data"]]
    assert kinds[0] == "installation.disconnected"
    assert "installation.edited" in kinds
    assert api("DELETE", path).status_code == 204
    assert not Installation.objects.exists()


def test_an_endpoint_is_added_tested_rotated_and_deleted(api, settings):
    settings.DEVELOPMENT = False
    found = refused(api("POST", "/webhook-endpoints", {"url": "http://x.example/"}), "invalid_request", 422)
    assert found["errors"][0]["pointer"] == "#/url"
    found = refused(
        api("POST", "/webhook-endpoints", {"url": "https://x.example/", "types": ["none"]}),
        "invalid_request",
        422,
    )
    assert found["errors"][0]["pointer"] == "#/types"
    made = api("POST", "/webhook-endpoints", {"url": "https://app.northwind.example/hooks"})
    assert made.json()["secret"].startswith("whsec_")
    path = made["Location"].removeprefix("/api/v1")
    assert "secret" not in api("GET", path).json()
    new = api("POST", f"{path}/rotate-secret", {"overlap_hours": 0})
    assert new.json()["secret"] != made.json()["secret"]
    assert new["Cache-Control"] == made["Cache-Control"] == "no-store"
    sent = api("POST", f"{path}/test").json()
    assert (sent["type"], sent["state"]) == ("webhook.test", "pending")
    listed = api("GET", f"{path}/deliveries?state=pending").json()["data"]
    assert [row["id"] for row in listed] == [sent["id"]]
    again = api("POST", f"{path}/deliveries/{sent['id']}/send-again")
    assert again.json()["message_id"] == sent["message_id"]
    assert api("POST", f"{path}/replay", {"since": "2026-01-01T00:00:00Z"}).json() == {"messages": 0}
    etag = api("GET", path)["ETag"]
    off = {"is_active": False, "description": "Old"}
    assert api("PATCH", path, off, If_Match=etag).json()["is_active"] is False
    refused(api("PATCH", path, {"is_active": True}, If_Match=etag), "precondition_failed", 412)
    refused(api("POST", f"{path}/test"), "webhook_endpoint_off", 409)
    assert api("DELETE", path).status_code == 204
    assert api("GET", "/webhook-endpoints").json()["data"] == []


def test_who_tries_too_often_is_told_until_when(api, installation):
    path = f"/installations/{installation.pk}/test"
    for _ in range(20):
        refused(api("POST", path), "not_connected", 409)
    response = api("POST", path)
    refused(response, "too_many_tries", 429)
    assert 1 <= int(response["Retry-After"]) <= 60


def test_endpoints_are_the_companys_and_no_accounts(northwind, account):
    confined = caller(northwind, account=account)
    refused(confined("GET", "/webhook-endpoints"), "account_key", 403)
    refused(confined("POST", "/webhook-endpoints", {"url": "https://x.example/"}), "account_key", 403)


@pytest.mark.parametrize("since", [BEFORE_ALL, AFTER_ALL])
def test_a_time_outside_of_all_years_is_a_problem(api, since):
    made = api("POST", "/webhook-endpoints", {"url": "https://app.example.com/hooks"})
    found = api("POST", f"/webhook-endpoints/{made.json()['id']}/replay", {"since": since})
    assert refused(found, "invalid_request", 422)["errors"][0]["pointer"] == "#/since"


def test_a_test_key_neither_hears_nor_changes_what_is_of_customers(api, northwind):
    test = caller(northwind, environment="test")
    made = api("POST", "/webhook-endpoints", {"url": "https://app.example.com/hooks"}).json()
    path = f"/webhook-endpoints/{made['id']}"
    refused(test("GET", "/webhook-endpoints"), "test_key", 403)
    refused(test("POST", "/webhook-endpoints", {"url": "https://x.example/"}), "test_key", 403)
    refused(test("GET", f"{path}/deliveries"), "not_found", 404)
    refused(test("POST", f"{path}/rotate-secret", {"overlap_hours": 0}), "not_found", 404)
    refused(test("DELETE", path), "not_found", 404)
    refused(test("GET", "/events"), "test_key", 403)
    refused(test("PATCH", "/connectors/heartland-retail/settings", {"values": {}}), "test_key", 403)
    assert test("GET", "/connectors/heartland-retail/settings").status_code == 200
    assert api("GET", path).json() == {name: value for name, value in made.items() if name != "secret"}


@pytest.mark.parametrize("key", ["custom-%00", "%00", "custom-%ED%A0%80"])
def test_a_connectors_key_that_none_can_have_finds_nothing(api, key):
    refused(api("GET", f"/connectors/{key}"), "not_found", 404)
    refused(api("GET", f"/connectors/{key}/settings"), "not_found", 404)


# ── credentials ─────────────────────────────────────────────────────────────────────────────────


def test_a_credential_is_fresh_and_says_until_when(field):
    api = caller(field.partner)
    (row,) = field.connected(1)
    before = field.asked()
    response = api("GET", f"/installations/{row.pk}/credential")
    body = response.json()
    assert response["Cache-Control"] == "no-store"
    assert field.asked() == before + 1
    version = Credential.objects.get(installation=row).current
    assert body["access_token"] == version.token["access_token"]
    assert body["version"] == str(version.pk)
    assert body["expires_at"]
    assert "refresh_token" not in response.content.decode()
    assert api("GET", f"/installations/{row.pk}/credential").json() == body
    assert field.asked() == before + 1


def test_who_fetches_the_credentials_of_many_is_stopped_and_told_of(field, owner):
    Membership.objects.filter(user=owner.user).update(partner=field.partner)
    api = caller(field.partner, credentials_per_minute=3)
    rows = field.connected(5, ends_in=3600)
    paths = [f"/installations/{row.pk}/credential" for row in rows]
    assert [api("GET", path).status_code for path in paths] == [200, 200, 200, 429, 429]
    found = refused(api("GET", paths[4]), "too_many_credentials", 429)
    assert "3 installations" in found["words"]
    # Those that it has are its own to fetch again.
    assert api("GET", paths[0]).status_code == 200
    assert caller(field.partner, credentials_per_minute=None)("GET", paths[4]).status_code == 200
    assert Event.objects.filter(kind="api_key.alarm", subject_id=api.key.pk).count() == 1
    job = Job.objects.get(kind="alarm")
    assert job.due_at - timezone.now() < timedelta(seconds=60)
    work()
    (sent,) = mail.outbox
    assert sent.to == [owner.user.email]
    assert api.key.beginning in sent.body
    assert f"/company/api-keys/{api.key.pk}/" in sent.body
    assert api.written not in sent.body


def test_a_version_that_the_provider_refused_is_renewed_once(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=3600)
    path = f"/installations/{row.pk}/credential"
    first = api("GET", path).json()
    before = field.asked()
    found = {api("GET", f"{path}?rejected={first['version']}").json()["version"] for _ in range(3)}
    assert len(found) == 1
    assert first["version"] not in found
    assert field.asked() == before + 1


def test_what_cannot_be_renewed_and_still_works_says_so(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=30)
    field.server.control(down=500)
    body = api("GET", f"/installations/{row.pk}/credential").json()
    assert body["access_token"]
    assert body["renewal_problem"] == "provider_unavailable"
    field.expire([row])
    response = api("GET", f"/installations/{row.pk}/credential")
    refused(response, "provider_unavailable", 502)
    assert int(response["Retry-After"]) > 0


def test_an_api_key_of_the_provider_is_imported_if_it_works(api, heartland, installation):
    path = f"/installations/{installation.pk}/credential"
    asked = {"auth_method": "api_token", "values": {"subdomain": "harbor", "api_token": "wrong"}}
    method = next(
        found
        for found in api("GET", "/connectors/heartland-retail").json()["auth_methods"]
        if found["type"] == "api_key"
    )
    wanted = installation.current.manifest.properties_for(method["key"])
    values = {
        prop.name: "wrong" if prop.is_secret else "harbor"
        for prop in wanted
        if prop.level == "account" and not prop.fallback
    }
    asked = {"auth_method": method["key"], "values": values}
    refused(api("POST", path, asked), "import_refused", 422)
    assert not Setup.objects.exists()
    installation.refresh_from_db()
    assert installation.status == Status.NOT_SET_UP
    secret = next(prop.name for prop in wanted if prop.is_secret and prop.level == "account")
    values[secret] = heartland.token()
    response = api("POST", path, asked)
    assert response.status_code == 200, response.content
    assert response.json()["state"] == "connected"
    assert api("GET", path).json()["access_token"] == values[secret]


def test_tokens_of_another_product_are_imported_if_they_work(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=3600)
    token = Credential.objects.get(installation=row).current.token
    path = f"/installations/{row.pk}"
    api("POST", f"{path}/disconnect")
    body = {"auth_method": row.auth_method, "access_token": "wrong", "refresh_token": "wrong"}
    refused(api("POST", f"{path}/credential", body), "import_refused", 422)
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    body |= {"access_token": token["access_token"], "refresh_token": token["refresh_token"]}
    response = api("POST", f"{path}/credential", body | {"expires_at": later})
    assert response.status_code == 200, response.content
    found = api("GET", f"{path}/credential").json()
    assert found["access_token"] == token["access_token"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"auth_method": "none-such"}, "#/auth_method"),
        ({"access_token": ""}, "#/access_token"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "#/expires_at"),
        ({"expires_at": "2999-01-01T00:00:00"}, "#/expires_at"),
        ({"values": {"stray": "x"}}, "#/values/stray"),
    ],
)
def test_what_is_wrong_with_an_import_is_named(field, change, pointer):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=3600)
    body = {"auth_method": row.auth_method, "access_token": "a"} | change
    found = refused(api("POST", f"/installations/{row.pk}/credential", body), "invalid_request", 422)
    assert found["errors"][0]["pointer"] == pointer
    # What was connected before still is.
    assert api("GET", f"/installations/{row.pk}/credential").status_code == 200


def test_a_version_that_is_new_is_not_renewed_once_more(field):
    api = caller(field.partner)
    (row,) = field.connected(1)
    path = f"/installations/{row.pk}/credential"
    first = api("GET", path).json()
    before = field.asked()
    for _ in range(3):
        assert api("GET", f"{path}?rejected={first['version']}").json() == first
    assert field.asked() == before


def test_a_version_that_is_none_is_said_so(field):
    api = caller(field.partner)
    (row,) = field.connected(1, ends_in=3600)
    found = refused(api("GET", f"/installations/{row.pk}/credential?rejected=x"), "invalid_request", 422)
    assert found["errors"][0]["pointer"] == "rejected"
    refused(api("PUT", f"/installations/{row.pk}/credential"), "method_not_allowed", 405)
