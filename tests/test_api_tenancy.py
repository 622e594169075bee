"""Who may call what of the API: every operation of the OpenAPI document, with every key that must not.

Northwind's rows are named for the quagga, as in test_tenancy. A new operation is asked here the moment it
stands in the document.
"""

import json
import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from console.api_reference import Operation, reference
from console.models import Account, ApiKey, Partner
from console.models.api_key import SCOPES
from installations.models import Installation
from tests import test_tenancy
from tests.test_tenancy import SLUG, Side, World, all_rows, changed, sharing, undone

pytestmark = [pytest.mark.django_db, pytest.mark.routes]

world = test_tenancy.world

OPERATIONS = [operation for _, operations in reference().tags for operation in operations]
# Which name an object of one partner in their path; a connector's key may be one of the library's.
OF_ACCOUNTS = [operation for operation in OPERATIONS if "_id}" in operation.path]
OF_INSTALLATIONS = [operation for operation in OPERATIONS if "{installation_id}" in operation.path]
# To which an installation has to declare webhooks.
OF_HOOKED = [operation for operation in OF_INSTALLATIONS if "/webhook" in operation.path]
OF_CONNECTORS = [operation for operation in OPERATIONS if "{key}" in operation.path]
LISTS = [operation for operation in OPERATIONS if any(part.name == "cursor" for part in operation.parameters)]
FREE = [operation for operation in LISTS if "{" not in operation.path]


def by_id(operation: Operation) -> str:
    return operation.id


def every(operations: list[Operation]):
    return pytest.mark.parametrize("operation", operations, ids=by_id)


def key_of(partner: Partner, **fields) -> tuple[ApiKey, str]:
    fields = {"scopes": list(SCOPES), "name": "of a test", "created_by": "x"} | fields
    row = ApiKey(partner=partner, **fields)
    written = row.issue()
    row.save()
    return row, written


def own(side: Side, operation: Operation) -> dict:
    installation = side.hooked if operation in OF_HOOKED else side.installation
    return {
        "account_id": side.account.pk,
        "installation_id": installation.pk,
        "received_id": side.received.pk,
        "link_id": side.link.pk,
        "endpoint_id": side.endpoint.pk,
        "delivery_id": side.delivery.pk,
        "key": side.custom.slug,
        "rest": "items",
    }


def missing() -> dict:
    names = ("account_id", "installation_id", "link_id", "endpoint_id", "delivery_id", "received_id")
    return {**{name: uuid.uuid4() for name in names}, "key": "custom-nothing", "rest": "items"}


CALLER = sharing(Client(HTTP_HOST="console.test"))


def call(written: str, operation: Operation, arguments: dict, query: str = "", body: str | None = None):
    cache.clear()
    headers = {"Authorization": f"Bearer {written}"} if written else {}
    return CALLER.generic(
        operation.method,
        operation.path.format(**arguments) + query,
        operation.example if body is None else body,
        content_type="application/json",
        headers=headers,
    )


def code_of(answer) -> str:
    return json.loads(answer.content)["code"] if answer.status_code >= 400 else ""


def told(answer) -> tuple[int, str]:
    return answer.status_code, answer.content.decode().replace(answer["X-Request-Id"], "")


def rows() -> dict:
    """All but the keys' own, on which stands when they were used last."""
    return {table: found for table, found in all_rows().items() if table != "console_apikey"}


def test_the_document_holds_operations_of_each_kind():
    assert len(OPERATIONS) > 25
    assert len(OF_INSTALLATIONS) > 10
    assert len(OF_HOOKED) == 6
    assert OF_CONNECTORS
    assert {operation.scope for operation in OPERATIONS} <= set(SCOPES)


@every(OPERATIONS)
def test_a_key_of_the_company_reaches_what_is_its_own(world, operation):
    """Otherwise no refusal below would prove anything. Its body is the example of the reference."""
    _, written = key_of(world.northwind.partner)
    with undone():
        answer = call(written, operation, own(world.northwind, operation))
    assert answer.status_code not in (400, 401, 403, 404, 405), answer.content
    # What is said of the example's values, an account that nobody has, is another matter than its form.
    assert answer.status_code != 422 or operation.id in ("create_installation", "import_credential")


@every([*OF_ACCOUNTS, *OF_CONNECTORS])
def test_a_key_of_another_partner_cannot_tell_a_foreign_object_from_none(world, operation):
    _, written = key_of(world.contoso.partner)
    before = rows()
    with undone():
        answers = [call(written, operation, given) for given in (own(world.northwind, operation), missing())]
        assert not changed(before, rows())
    assert {answer.status_code for answer in answers} == {404}, answers[0].content
    assert told(answers[0]) == told(answers[1])


@every(OF_ACCOUNTS)
def test_a_key_for_one_account_reaches_no_other(world, operation):
    northwind = world.northwind
    _, written = key_of(northwind.partner, account=northwind.other.account)
    before = rows()
    with undone():
        answers = [call(written, operation, given) for given in (own(northwind, operation), missing())]
        assert not changed(before, rows())
    assert {answer.status_code for answer in answers} == {404}, answers[0].content
    assert told(answers[0]) == told(answers[1])


@every(OF_INSTALLATIONS)
def test_a_test_key_reaches_nothing_that_customers_have_installed(world, operation):
    _, written = key_of(world.northwind.partner, environment="test")
    before = rows()
    with undone():
        answer = call(written, operation, own(world.northwind, operation))
        assert not changed(before, rows())
    assert answer.status_code == 404


@every(OF_INSTALLATIONS)
def test_a_live_key_reaches_no_try_out(world, operation):
    _, written = key_of(world.northwind.partner)
    Installation.objects.filter(account=world.northwind.account).update(is_tryout=True)
    with undone():
        assert call(written, operation, own(world.northwind, operation)).status_code == 404


@every(OPERATIONS)
def test_every_operation_needs_its_scope_and_no_other_will_do(world, operation):
    others = [scope for scope in SCOPES if scope != operation.scope]
    _, written = key_of(world.northwind.partner, scopes=others)
    before = rows()
    with undone():
        answer = call(written, operation, own(world.northwind, operation))
        assert not changed(before, rows())
    assert (answer.status_code, code_of(answer)) == (403, "scope_missing")


@every(FREE)
def test_a_list_holds_nothing_of_another_partner_or_account(world, operation):
    northwind = world.northwind
    _, stranger = key_of(world.contoso.partner)
    text = call(stranger, operation, {}).content.decode().lower()
    assert "quagga" not in text
    assert str(northwind.account.pk) not in text
    _, confined = key_of(northwind.partner, account=northwind.other.account)
    answer = call(confined, operation, {})
    assert answer.status_code == 200 or code_of(answer) == "account_key"
    for one in (northwind.account, northwind.installation):
        assert str(one.pk) not in answer.content.decode()


@every(FREE)
@pytest.mark.parametrize("name", ["account_id", "subject_id", "external_id"])
def test_a_foreign_id_in_a_query_finds_as_little_as_one_that_nobody_has(world, operation, name):
    side = world.northwind
    if name not in {parameter.name for parameter in operation.parameters}:
        return
    _, written = key_of(world.contoso.partner)
    foreign = side.account.external_id if name == "external_id" else side.account.pk
    found = json.loads(call(written, operation, {}, f"?{name}={foreign}").content)
    assert found == {"data": [], "next": None}


def test_an_account_in_a_body_is_looked_for_among_the_callers(world):
    (operation,) = (found for found in OPERATIONS if found.id == "create_installation")
    northwind = world.northwind
    keys = {
        "stranger": key_of(world.contoso.partner)[1],
        "other account": key_of(northwind.partner, account=northwind.other.account)[1],
    }
    for who, written in keys.items():
        answers = []
        for account in (northwind.account.pk, uuid.uuid4()):
            body = json.dumps({"account_id": str(account), "connector": SLUG})
            before = rows()
            answers.append(call(written, operation, {}, body=body))
            assert not changed(before, rows()), who
        assert {answer.status_code for answer in answers} == {422}, who
        assert told(answers[0]) == told(answers[1]), who


def test_a_link_is_looked_for_at_the_installation_that_is_named(world):
    (operation,) = (found for found in OPERATIONS if found.id == "revoke_setup_link")
    side = world.northwind
    _, written = key_of(side.partner)
    given = own(side, operation) | {"link_id": side.other.link.pk}
    assert call(written, operation, given).status_code == 404
    side.other.link.refresh_from_db()
    assert side.other.link.state != "revoked"


@every([operation for operation in OF_HOOKED if "{received_id}" in operation.path])
def test_what_came_is_looked_for_at_the_installation_that_is_named(world, operation):
    side = world.northwind
    _, written = key_of(side.partner)
    Installation.objects.filter(pk=side.installation.pk).update(connector="stripe")
    given = own(side, operation) | {"installation_id": side.installation.pk}
    with undone():
        assert call(written, operation, given).status_code == 404


# ── what is switched off is off at the very next call ───────────────────────────────────────────


def revoked(row: ApiKey) -> None:
    assert row.revoke()


def expired(row: ApiKey) -> None:
    ApiKey.objects.filter(pk=row.pk).update(expires_at=timezone.now())


def partner_off(row: ApiKey) -> None:
    Partner.objects.filter(pk=row.partner_id).update(is_active=False)


def network_changed(row: ApiKey) -> None:
    ApiKey.objects.filter(pk=row.pk).update(networks=["203.0.113.0/24"])


def deleted(row: ApiKey) -> None:
    ApiKey.objects.filter(pk=row.pk).delete()


ENDS = {
    "key_revoked": (revoked, 401),
    "key_expired": (expired, 401),
    "partner_disabled": (partner_off, 403),
    "network_refused": (network_changed, 403),
    "key_unknown": (deleted, 401),
}


@pytest.mark.parametrize("code", ENDS)
def test_what_was_ended_is_refused_at_the_very_next_call_of_every_operation(world, code):
    end, status = ENDS[code]
    row, written = key_of(world.northwind.partner)
    (first,) = (operation for operation in OPERATIONS if operation.id == "list_accounts")
    for operation in OPERATIONS:
        with undone():
            assert call(written, first, {}).status_code == 200
            end(row)
            before = rows()
            answer = call(written, operation, own(world.northwind, operation))
            assert (answer.status_code, code_of(answer)) == (status, code), operation.id
            assert not changed(before, rows()), operation.id


@every(OPERATIONS)
def test_without_a_key_there_is_nothing_whoever_is_signed_in(world, operation):
    for client in (world.colleague, world.staff, world.northwind.customer, world.anonymous):
        path = operation.path.format(**own(world.northwind, operation))
        answer = client.generic(operation.method, path, operation.example, content_type="application/json")
        assert (answer.status_code, code_of(answer)) == (401, "key_missing")


def test_the_text_before_a_rotation_counts_as_long_as_was_chosen(world):
    row, first = key_of(world.northwind.partner)
    (operation,) = (found for found in OPERATIONS if found.id == "list_accounts")
    second = row.rotate(timedelta(hours=1))
    assert [call(written, operation, {}).status_code for written in (first, second)] == [200, 200]
    ApiKey.objects.filter(pk=row.pk).update(previous_until=timezone.now())
    assert [call(written, operation, {}).status_code for written in (first, second)] == [401, 200]
    row.refresh_from_db()
    third = row.rotate(timedelta())
    assert [call(written, operation, {}).status_code for written in (second, third)] == [401, 200]
    row.refresh_from_db()
    row.revoke()
    assert [call(written, operation, {}).status_code for written in (second, third)] == [401, 401]


def test_an_account_that_goes_takes_its_keys_along(world: World):
    account = Account.objects.create(partner=world.northwind.partner, name="Okapi")
    _, written = key_of(world.northwind.partner, account=account)
    (operation,) = (found for found in OPERATIONS if found.id == "list_installations")
    assert call(written, operation, {}).status_code == 200
    account.delete()
    assert call(written, operation, {}).status_code == 401
