"""Sealed values in the database: never in plain there, and opened only where somebody reads them."""

import base64
import json
import re
from io import StringIO

import pytest
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import connection, models, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connectors.models import ConnectorSettings
from console.crypto import CannotOpen
from console.models import Account, ApiKey, KeyCanary, Partner
from console.sealed import Sealed, SealedField
from installations import ending
from installations.auth import Token
from installations.models import (
    AuthorizationRequest,
    Credential,
    CredentialVersion,
    HookAddress,
    Installation,
    ReceivedWebhook,
    Revocation,
    Setup,
    SetupLink,
    Status,
)
from installations.webhooks import endpoints
from tests.conftest import consent_at_heartland, open_link

pytestmark = pytest.mark.django_db

CANARY = "canary-7f3a/+:%ü"


def settings_of(partner, values=None) -> ConnectorSettings:
    return ConnectorSettings.objects.create(
        id=ConnectorSettings.registration_id(partner.pk, "heartland-retail"),
        partner=partner,
        connector="heartland-retail",
        values={"client_secret": CANARY} if values is None else values,
        stored={"client_secret": {"at": "2026-11-23T10:00:00+00:00", "by": "owner@northwind.example"}},
    )


@pytest.fixture
def row(northwind) -> ConnectorSettings:
    """As it stands in the database, not opened yet."""
    return ConnectorSettings.objects.get(pk=settings_of(northwind).pk)


def column(row, name: str = "values") -> bytes:
    """The very bytes of the database."""
    quote, meta = connection.ops.quote_name, row._meta
    # The SQLite driver wants a UUID the way Django stores it.
    pk = meta.pk.get_db_prep_value(row.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {quote(name)} FROM {quote(meta.db_table)} WHERE id = %s", [pk])
        return bytes(cursor.fetchone()[0])


def write(row, stored: bytes, name: str = "values") -> None:
    """Past the product, straight into the database."""
    quote, meta = connection.ops.quote_name, row._meta
    pk = meta.pk.get_db_prep_value(row.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {quote(meta.db_table)} SET {quote(name)} = %s WHERE id = %s",
            [connection.Database.Binary(stored), pk],
        )
        assert cursor.rowcount == 1


def damage(row, name: str = "values") -> bytes:
    stored = bytearray(column(row, name))
    stored[len(stored) // 2] ^= 1
    write(row, bytes(stored), name)
    return bytes(stored)


def is_opened(row) -> bool:
    return "_opened_values" in row.__dict__ or not isinstance(row.__dict__["values"], Sealed)


# ── opening ─────────────────────────────────────────────────────────────────────────────────────


def test_a_value_is_opened_when_it_is_first_read_and_once(row, monkeypatch):
    assert not is_opened(row)
    assert row.values == {"client_secret": CANARY}
    monkeypatch.setattr("console.crypto.unseal", None)
    assert row.values == {"client_secret": CANARY}


def test_none_is_stored_as_null(row):
    row.values = None
    row.save()
    found = ConnectorSettings.objects.get(values__isnull=True)
    assert found.values is None
    assert not ConnectorSettings.objects.filter(values__isnull=False).exists()


def test_the_same_value_is_stored_differently_each_time(row):
    first = column(row)
    row.values = {"client_secret": CANARY}
    row.save()
    assert column(row) != first
    assert ConnectorSettings.objects.get().values == {"client_secret": CANARY}


def test_saving_a_row_that_was_not_read_keeps_its_bytes(row):
    first = column(row)
    row.scopes = "a b"
    row.save()
    assert column(row) == first
    assert not is_opened(row)
    # Nor does reading alone change them.
    assert row.values
    row.save()
    assert column(row) == first


def test_a_value_that_was_just_saved_can_be_read_and_saved_again(row):
    assert row.values == {"client_secret": CANARY}
    row.values = {"client_secret": "another"}
    assert row.values == {"client_secret": "another"}
    row.save()
    first = column(row)
    assert row.values == {"client_secret": "another"}
    row.save()
    assert column(row) == first


def test_a_row_read_again_from_the_database_shows_what_is_there_now(row):
    assert row.values == {"client_secret": CANARY}
    other = ConnectorSettings.objects.get()
    other.values = {"client_secret": "another"}
    other.save()
    row.refresh_from_db()
    assert CANARY not in repr(vars(row))
    first = column(row)
    row.save()
    assert column(row) == first
    assert row.values == {"client_secret": "another"}
    row.refresh_from_db(fields=["values", "scopes"])
    assert "another" not in repr(vars(row))
    assert row.values == {"client_secret": "another"}
    row.values = {"client_secret": "never saved"}
    row.refresh_from_db(fields=["scopes"])
    assert row.values == {"client_secret": "never saved"}
    row.refresh_from_db(fields=["values"])
    assert row.values == {"client_secret": "another"}


def test_a_damaged_row_can_be_read_again_from_the_database(row):
    damage(row)
    row.refresh_from_db()
    with pytest.raises(CannotOpen):
        row.values  # noqa: B018


def test_a_deferred_value_is_fetched_when_it_is_read(row, django_assert_num_queries):
    first = column(row)
    found = ConnectorSettings.objects.defer("values").get()
    assert "values" not in found.__dict__
    with django_assert_num_queries(1):
        assert found.values == {"client_secret": CANARY}
        assert found.values == {"client_secret": CANARY}
    found.save()
    assert column(row) == first


def test_a_deferred_value_stays_when_its_row_is_saved(row):
    first = column(row)
    found = ConnectorSettings.objects.defer("values").get()
    found.scopes = "a"
    found.save()
    assert column(row) == first


def test_a_deferred_value_stays_when_it_is_saved_by_name(row):
    first = column(row)
    found = ConnectorSettings.objects.defer("values").get()
    found.save(update_fields=["values"])
    assert column(row) == first


def test_a_value_fetched_alone_opens(row):
    assert ConnectorSettings.objects.only("values").get().values == {"client_secret": CANARY}


def test_value_lists_hold_sealed_bytes_that_show_nothing(row):
    (found,) = ConnectorSettings.objects.values_list("values", flat=True)
    assert found == column(row)
    assert repr(found) == "<sealed>"
    (found,) = ConnectorSettings.objects.values("values")
    assert CANARY not in str(found)
    (found,) = ConnectorSettings.objects.annotate(copy=models.F("values")).values_list("copy", flat=True)
    assert isinstance(found, Sealed)


def test_a_row_shows_nothing_of_its_value(row):
    for text in (repr(row), str(row), f"{row}", repr(vars(row))):
        assert CANARY not in text


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [{"client_secret": CANARY}, CANARY, CANARY.encode(), 7, [CANARY]])
def test_an_update_past_the_row_is_refused(row, value):
    first = column(row)
    rows = ConnectorSettings.objects.filter(pk=row.pk)
    with pytest.raises(FieldError, match="values can only be written by saving"), transaction.atomic():
        rows.update(values=value)
    with pytest.raises(FieldError), transaction.atomic():
        rows.update(scopes="a", values=value)
    row.values = value
    with pytest.raises(FieldError), transaction.atomic():
        rows.bulk_update([row], ["values"])
    assert column(row) == first


def test_an_update_to_nothing_is_allowed(row):
    ConnectorSettings.objects.update(values=None)
    assert ConnectorSettings.objects.get().values is None


def test_rows_made_together_are_sealed_each_for_itself(northwind, contoso):
    ConnectorSettings.objects.bulk_create(
        ConnectorSettings(partner=partner, connector="heartland-retail", values={"client_secret": CANARY})
        for partner in (northwind, contoso)
    )
    rows = ConnectorSettings.objects.all()
    assert [row.values for row in rows] == [{"client_secret": CANARY}] * 2
    first, second = rows
    write(first, column(second))
    with pytest.raises(CannotOpen):
        ConnectorSettings.objects.get(pk=first.pk).values  # noqa: B018


@pytest.mark.parametrize(
    "lookup", ["exact", "in", "contains", "startswith", "gt", "regex", "length", "client_secret"]
)
def test_a_value_cannot_be_searched_for(row, lookup):
    value = [CANARY] if lookup == "in" else CANARY
    for search in (ConnectorSettings.objects.filter, ConnectorSettings.objects.exclude):
        with pytest.raises(FieldError):
            search(**{f"values__{lookup}": value}).exists()


@pytest.mark.parametrize("value", [CANARY, {"client_secret": CANARY}, b"bytes", None])
def test_a_value_cannot_be_looked_up(row, value):
    with pytest.raises(FieldError):
        ConnectorSettings.objects.get(values=value)
    with pytest.raises(FieldError):
        ConnectorSettings.objects.get_or_create(values=value)


# ── moved and damaged rows ──────────────────────────────────────────────────────────────────────


def test_a_value_moved_in_the_database_does_not_open(northwind, contoso, account, installation):
    """Between partners, between rows, between columns, between tables."""
    ours, theirs = settings_of(northwind), settings_of(contoso)
    setup = Setup.objects.create(
        partner=northwind, installation=installation, values={"a": CANARY}, token={"b": CANARY}
    )
    places = [(ours, "values"), (theirs, "values"), (setup, "values"), (setup, "token")]
    original = {index: column(*place) for index, place in enumerate(places)}
    for target, (row, name) in enumerate(places):
        for source in range(len(places)):
            write(row, original[source], name)
            found = type(row).objects.get(pk=row.pk)
            if source == target:
                assert getattr(found, name)
                continue
            with pytest.raises(CannotOpen):
                getattr(found, name)
        write(row, original[target], name)


def test_a_row_given_to_another_partner_does_not_open(row, contoso):
    ConnectorSettings.objects.update(partner=contoso)
    with pytest.raises(CannotOpen):
        ConnectorSettings.objects.get().values  # noqa: B018


@pytest.fixture
def damaged(owner, account, installation) -> dict:
    """One damaged row in each table, beside sound ones."""
    Installation.objects.create(
        partner=owner.partner, account=account, connector="heartland-retail", name="The sound one"
    )
    installation.name, installation.values = "The damaged one", {"subdomain": "harbor"}
    installation.status, installation.auth_method = Status.CONNECTED, "api_key"
    installation.save()
    partner = settings_of(owner.partner)
    version = CredentialVersion.objects.create(
        partner=owner.partner, installation=installation, token={"access_token": CANARY}
    )
    for broken, name in [(installation, "values"), (partner, "values"), (version, "token")]:
        damage(broken, name)
    return {"installation": installation, "settings": partner, "version": version}


def test_a_damaged_row_does_not_block_a_list(damaged, owner, staff):
    page = owner.client.get("/installations/")
    assert page.status_code == 200
    assert "The damaged one" in page.content.decode()
    assert "The sound one" in page.content.decode()
    for url in [
        "/",
        "/accounts/",
        f"/accounts/{damaged['installation'].account_id}/",
        "/connectors/library/",
    ]:
        assert owner.client.get(url).status_code == 200, url
    assert owner.client.get(f"/installations/{damaged['installation'].pk}/").status_code == 200
    for row in damaged.values():
        label = f"{row._meta.app_label}_{row._meta.model_name}"
        assert staff.get(reverse(f"admin:{label}_changelist")).status_code == 200
        assert staff.get(reverse(f"admin:{label}_change", args=[row.pk])).status_code == 200


def is_problem_page(response) -> bool:
    page = response.content.decode()
    return (
        response.status_code == 500
        and "A stored value cannot be read" in page
        and response.headers["X-Request-Id"] in page
        and "Traceback" not in page
        and "CannotOpen" not in page
    )


def test_what_a_damaged_row_is_needed_for_says_so(damaged, owner, caplog):
    pk = damaged["installation"].pk
    pages = [
        owner.client.get("/connectors/library/heartland-retail/settings/"),
        owner.client.post("/connectors/library/heartland-retail/settings/", {"client_id": "another"}),
        owner.client.post(f"/installations/{pk}/reauthorise/"),
    ]
    assert [is_problem_page(page) for page in pages] == [True] * 3
    errors = [
        record for record in caplog.records if (record.name, record.levelname) == ("console.request", "ERROR")
    ]
    assert [record.getMessage() for record in errors] == [
        f"damaged, or moved from another place ref={page.headers['X-Request-Id']}" for page in pages
    ]
    # The sound installation is not touched by its neighbour.
    ConnectorSettings.objects.all().delete()
    sound = Installation.objects.get(name="The sound one")
    assert owner.client.get(f"/installations/{sound.pk}/setup/", follow=True).status_code == 200


def test_a_damaged_row_is_said_to_a_customer_too(owner, installation):
    browser, link, _ = open_link(installation)
    browser.post(f"/setup/{link.pk}/review/")
    browser.post(f"/setup/{link.pk}/method/", {"auth_method": "authorization_code"})
    browser.post(f"/setup/{link.pk}/details/", {"client_id": "id", "client_secret": CANARY})
    damage(Setup.objects.get())
    assert is_problem_page(browser.get(f"/setup/{link.pk}/details/"))


def test_support_saving_a_damaged_row_keeps_its_bytes(damaged, staff):
    row = damaged["installation"]
    before = column(row)
    page = reverse("admin:installations_installation_change", args=[row.pk])
    forms = {"setuplink_set-TOTAL_FORMS": 0, "setuplink_set-INITIAL_FORMS": 0}
    answer = staff.post(page, {"name": "Renamed", "description": "", **forms})
    assert answer.status_code == 302
    row = Installation.objects.get(pk=row.pk)
    assert row.name == "Renamed"
    assert column(row) == before


def test_a_damaged_row_can_still_be_disconnected_and_deleted(damaged, owner):
    pk = damaged["installation"].pk
    assert owner.client.post(f"/installations/{pk}/disconnect/").status_code == 302
    assert Installation.objects.get(pk=pk).values is None
    assert not CredentialVersion.objects.exists()
    assert owner.client.post(f"/installations/{pk}/delete/").status_code == 302


# ── the whole database ──────────────────────────────────────────────────────────────────────────


def path(url: str) -> str:
    return url.removeprefix("http://console.test")


@pytest.fixture
def everything(heartland, owner, account) -> list[str]:
    """Rows in every state that holds a secret, made by the product itself; the secrets."""
    secrets = []
    # A test with real transactions empties every table at its end.
    KeyCanary.plant()

    def install() -> Installation:
        return Installation.objects.create(
            partner=owner.partner, account=account, connector="heartland-retail"
        )

    def begin(installation, method):
        browser, link, url = open_link(installation, email="customer@harbor.example")
        secrets.append(url.rstrip("/").rpartition("/")[2])
        base = f"/setup/{link.pk}/"
        browser.post(f"{base}review/")
        browser.post(f"{base}method/", {"auth_method": method})
        return browser, base

    # Its own client registration, half way: the secret is in the draft, the verifier in a request.
    own = install()
    browser, base = begin(own, "authorization_code")
    client_id, client_secret = heartland.register(f"http://console.test/oauth/callback/{own.pk}/")
    browser.post(f"{base}details/", {"client_id": client_id, "client_secret": client_secret})
    asked = browser.post(f"{base}consent/").headers["Location"]
    secrets += [client_secret, re.search(r"[?&]state=([^&]+)", asked).group(1)]
    secrets.append(AuthorizationRequest.objects.get().verifier["code_verifier"])
    # And another one, to the end.
    done = install()
    browser, base = begin(done, "authorization_code")
    client_id, client_secret = heartland.register(f"http://console.test/oauth/callback/{done.pk}/")
    browser.post(f"{base}details/", {"client_id": client_id, "client_secret": client_secret})
    back = consent_at_heartland(browser.post(f"{base}consent/").headers["Location"])
    assert browser.get(path(back)).headers["Location"] == f"{base}done/"
    secrets += [client_secret, re.search(r"[?&]code=([^&]+)", back).group(1)]
    secrets.append(done.current_token().access_token)
    # The partner's client registration, and the one before it, which still counts for a while.
    redirect_uri = ConnectorSettings.objects.for_connector(owner.partner.pk, "heartland-retail").redirect_uri
    for _ in range(2):
        client_id, client_secret = heartland.register(redirect_uri)
        answer = owner.client.post(
            "/connectors/library/heartland-retail/settings/",
            {"client_id": client_id, "client_secret": client_secret, "overlap_days": "7"},
        )
        assert answer.status_code == 302, answer.context["form"].errors
        secrets.append(client_secret)
    # A grant that is still to be ended at its provider.
    ended, token = (
        install(),
        Token(access_token="the-access-token-to-end", refresh_token="the-refresh-token-to-end"),
    )
    Installation.objects.filter(pk=ended.pk).update(connector="asana", auth_method="authorization_code")
    version = CredentialVersion.objects.create(
        partner=owner.partner, installation=ended, token=token.to_json()
    )
    Credential.objects.create(partner=owner.partner, installation=ended, current=version)
    ending.disconnect(Installation.objects.get(pk=ended.pk), owner.principal)
    secrets += [token.access_token, token.refresh_token]
    # What a provider signs with, and what it sent.
    HookAddress.issue(ended, by="owner@northwind.example", secret="signs-with-4f1c9a77d2e0")
    body = b"sent-us-77d2e04f1c9a55"
    ReceivedWebhook.objects.create(
        partner=owner.partner,
        installation=ended,
        received_at=timezone.now(),
        size=len(body),
        body=ReceivedWebhook.sealed_form(body),
    )
    secrets += ["signs-with-4f1c9a77d2e0", body.decode()]
    # An API token that works, one that is refused, and one that waits for its address.
    token = heartland.token()
    browser, base = begin(install(), "api_key")
    browser.post(f"{base}details/", {"access_token": "nobody-gave-out-this-one"})
    browser.post(f"{base}details/", {"access_token": token})
    secrets += [token, "nobody-gave-out-this-one"]
    heartland.switch(host_lookup_fails=True)
    waiting = heartland.token()
    browser, base = begin(install(), "api_key")
    answer = browser.post(f"{base}details/", {"access_token": waiting})
    assert answer.headers["Location"] == f"{base}address/"
    secrets.append(waiting)
    # An endpoint's secret, and the one before it.
    hook, secret = endpoints.create(owner.principal, url="https://app.northwind.example/hook")
    secrets += [secret, endpoints.rotate_secret(owner.principal, hook)]
    endpoints.test(owner.principal, hook)
    # A call of the API that may be repeated, and was answered with what is shown once.
    key = ApiKey(partner=owner.partner, name="Nightly import", scopes=["write"], created_by="x")
    written = key.issue()
    key.save()
    answer = Client(HTTP_HOST="console.test").post(
        f"/api/v1/installations/{done.pk}/setup-links",
        {},
        content_type="application/json",
        headers={"Authorization": f"Bearer {written}", "Idempotency-Key": "once"},
    )
    secrets += [written.rpartition("_")[2], answer.json()["url"].rstrip("/").rpartition("/")[2]]
    assert len(set(secrets)) == len(secrets) == 23
    assert all(len(secret) > 15 for secret in secrets)
    return secrets


def forms_of(secret: str) -> list[bytes]:
    plain = secret.encode()
    return [plain, base64.b64encode(plain).rstrip(b"="), plain.hex().encode(), plain[:8], plain[-8:]]


def test_no_table_holds_a_secret_in_plain(everything):
    tables = connection.introspection.table_names()
    dump = b""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for found in cursor.fetchall():
                dump += b"\n".join(
                    bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
                    for value in found
                )
    assert b"Harbor Street Outfitters" in dump
    for secret in everything:
        assert [form for form in forms_of(secret) if form in dump] == [], secret


def test_every_sealed_column_was_filled_and_is_sealed(everything):
    from django.apps import apps

    found = {}
    for model in apps.get_models():
        for field in model._meta.fields:
            if isinstance(field, SealedField):
                rows = model.objects.filter(**{f"{field.name}__isnull": False})
                found[f"{model.__name__}.{field.name}"] = rows.count()
                for row in rows:
                    assert isinstance(row.__dict__[field.attname], Sealed)
                    assert getattr(row, field.attname)
    assert found == {
        "ApiCall.answer": 1,
        "KeyCanary.value": 1,
        "ConnectorSettings.values": 1,
        "ConnectorSettings.previous": 1,
        "Installation.values": 1,
        "CredentialVersion.token": 2,
        "Revocation.grant": 1,
        "Setup.values": 1,
        "Setup.token": 1,
        "HookAddress.secret": 1,
        "ReceivedWebhook.body": 1,
        "AuthorizationRequest.verifier": 1,
        "WebhookEndpoint.secret": 1,
        "WebhookEndpoint.previous_secret": 1,
        "WebhookMessage.payload": 1,
    }


def dumped(*apps: str) -> str:
    out = StringIO()
    call_command("dumpdata", *apps, stdout=out)
    return out.getvalue()


def test_a_dump_holds_no_secret_and_restores_them_all(everything, tmp_path):
    text = dumped()
    for secret in everything:
        assert [form for form in forms_of(secret) if form.decode() in text] == [], secret
        assert json.dumps(secret)[1:-1] not in text
    before = {row.pk: (row.values, column(row)) for row in ConnectorSettings.objects.all()}
    tokens = {row.pk: row.token for row in CredentialVersion.objects.all()}
    (tmp_path / "dump.json").write_text(text)
    SetupLink.objects.all().delete()
    Installation.objects.all().delete()
    Account.objects.all().delete()
    Revocation.objects.all().delete()
    Partner.objects.all().delete()
    KeyCanary.objects.all().delete()
    assert not CredentialVersion.objects.exists()
    call_command("loaddata", tmp_path / "dump.json", verbosity=0)
    assert {row.pk: (row.values, column(row)) for row in ConnectorSettings.objects.all()} == before
    assert {row.pk: row.token for row in CredentialVersion.objects.all()} == tokens
    assert KeyCanary.objects.get().value == "partner-console"
    assert KeyCanary.unreadable() == ""


@pytest.mark.parametrize("value", [4242424242, 42.42424242, "a text", ["a", "list"], True])
def test_a_dump_shows_no_value_of_any_type(value):
    KeyCanary.objects.all().delete()
    KeyCanary.objects.create(value=value)
    (dump,) = json.loads(dumped("console.keycanary"))
    assert base64.b64decode(dump["fields"]["value"]) == column(KeyCanary.objects.get(), "value")


def test_a_dump_of_a_damaged_row_is_made_all_the_same(row):
    stored = damage(row)
    (dump,) = json.loads(dumped("connectors.connectorsettings"))
    assert base64.b64decode(dump["fields"]["values"]) == stored


def test_a_dump_brings_back_an_empty_value_as_an_empty_one(row, tmp_path):
    ConnectorSettings.objects.update(values=None)
    (tmp_path / "dump.json").write_text(dumped("connectors.connectorsettings"))
    ConnectorSettings.objects.all().delete()
    call_command("loaddata", tmp_path / "dump.json", verbosity=0)
    assert ConnectorSettings.objects.get().values is None
