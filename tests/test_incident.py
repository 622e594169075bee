"""All access of a connector is ended at once, for an incident.

Row 28 of the scorecard: 1,000 within ten minutes; a sample by default, FULL=1 makes them all.
"""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from connectors.manifest.auth_methods import TokenResponse
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.models import Account, Event
from console.problems import ProblemError
from installations import connecting, ending, incident
from installations.auth import Token
from installations.auth.token_response import parse
from installations.models import (
    AuthorizationRequest,
    Credential,
    CredentialVersion,
    Installation,
    Revocation,
    Setup,
    Status,
)
from tests import rotating as at_rotating
from tests.incident import end_all
from tests.product import full
from tests.rotating import connected, store_client
from tests.test_registrations import work

pytestmark = pytest.mark.django_db(transaction=True)
rotating, rotating_process = at_rotating.rotating, at_rotating.rotating_process

PAGE = "/connectors/library/rotating-test/disconnect/"
NUMBER = full(60, 1000)
SECONDS = 600


@pytest.fixture
def rows(rotating, account, northwind) -> list[Installation]:
    store_client(northwind)
    return connected(rotating, account, ["a", "b", "c"])


def alive(rotating) -> list[str]:
    return sorted(name for name, grant in rotating.state()["grants"].items() if grant["alive"])


def test_row_28_all_of_them_end_within_ten_minutes_though_a_worker_is_killed(
    rotating, account, northwind, owner, capsys
):
    store_client(northwind)
    seconds, living = end_all(rotating, account, owner.principal, NUMBER)
    with capsys.disabled():
        print(f"\nmass revoke: {NUMBER} in {seconds:.1f} s, {living} alive")
    assert seconds < SECONDS
    assert living == 0
    assert not CredentialVersion.objects.exists()
    assert not Revocation.objects.exists()
    assert Installation.objects.filter(status="disconnected").count() == NUMBER
    # Each was disconnected once, whoever began it.
    assert Event.objects.filter(kind="installation.disconnected").count() == NUMBER


def test_the_page_asks_for_the_name_and_says_how_far_it_is(rows, rotating, owner):
    page = owner.client.get(PAGE).content.decode()
    assert "<strong>3 installations</strong>" in page
    refused = owner.client.post(PAGE, {"name": "rotating"})
    assert refused.status_code == 422
    assert "not the connector" in refused.content.decode()
    assert Event.objects.filter(kind=incident.ASKED).count() == 0
    under_way = owner.client.post(PAGE, {"name": "Rotating"}, follow=True)
    assert "0 of 3" in under_way.content.decode()
    assert under_way["Refresh"]
    work()
    done = owner.client.get(PAGE)
    assert "3 of 3" in done.content.decode()
    assert "Nothing is connected" in done.content.decode()
    assert "Refresh" not in done
    assert alive(rotating) == []
    actors = Event.objects.filter(kind="installation.disconnected").values_list("actor", flat=True)
    assert set(actors) == {owner.user.email}


def test_what_shares_a_grant_ends_with_it(rows, rotating, owner):
    Installation.objects.update(external_account_id="the same")
    incident.begin(owner.principal, "rotating-test")
    work()
    assert alive(rotating) == []


def test_what_is_connected_afterwards_is_left_alone(rows, rotating, account, owner):
    incident.begin(owner.principal, "rotating-test")
    (later,) = connected(rotating, account, ["later"])
    Installation.objects.filter(pk=later.pk).update(connected_at=clock.now() + timedelta(seconds=1))
    work()
    assert alive(rotating) == ["later"]
    assert incident.progress(account.partner_id, "rotating-test").is_over


def test_of_another_partner_or_connector_nothing_ends(rows, rotating, stranger, owner):
    account = Account.objects.create(partner=stranger.partner, name="Theirs")
    store_client(stranger.partner)
    connected(rotating, account, ["theirs"])
    incident.begin(owner.principal, "rotating-test")
    assert incident.begin(owner.principal, "heartland-retail") == 0
    work()
    assert alive(rotating) == ["theirs"]


def test_one_that_is_damaged_does_not_keep_the_others(rows, rotating, owner, monkeypatch):
    disconnect = ending.disconnect

    def broken(row, *args, **kwargs):
        if row.pk == rows[1].pk:
            raise RuntimeError
        return disconnect(row, *args, **kwargs)

    monkeypatch.setattr(ending, "disconnect", broken)
    incident.begin(owner.principal, "rotating-test")
    for _ in range(3):
        jobs.work()
    assert alive(rotating) == ["b"]
    assert incident.progress(owner.partner.pk, "rotating-test").left == 1


def test_a_token_that_cannot_be_read_any_more_is_destroyed_all_the_same(rows, rotating, owner):
    CredentialVersion.objects.filter(installation=rows[0]).update(token=_damaged())
    incident.begin(owner.principal, "rotating-test")
    work()
    assert alive(rotating) == ["a"]
    assert not Credential.objects.exists()


def _damaged():
    from console.sealed import Sealed

    return Sealed(b"damaged")


# ── what is under way ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def setup(rotating, account, northwind, owner) -> Setup:
    """A new installation's, whose customer has given consent; the token is at hand."""
    store_client(northwind)
    row = Installation.objects.create(partner=northwind, account=account, connector="rotating-test")
    made = connecting.begin(row, owner.principal)
    connecting.choose_method(made, "strict")
    return made


def token_of(rotating, grant: str) -> Token:
    answer = rotating.control(issue=[grant])[grant]
    return parse(200, json.dumps(answer).encode(), TokenResponse(), requested_at=clock.now())


def consent_asked(setup: Setup) -> AuthorizationRequest:
    return AuthorizationRequest.objects.create(
        partner=setup.partner,
        installation=setup.installation,
        setup=setup,
        registration_id=uuid4(),
        state_digest=uuid4().hex,
        browser_digest="b",
        verifier={"code_verifier": "v"},
        expires_at=clock.now() + timedelta(minutes=10),
    )


def goes_on(setup: Setup, token: Token, owner) -> None:
    manifest = setup.definition.manifest
    partner = ConnectorSettings.objects.for_connector(setup.partner_id, "rotating-test")
    connecting.connect(manifest, partner, setup, token, owner.principal, None)


def test_what_a_setup_holds_that_was_not_finished_ends_too(setup, rotating, owner):
    setup.token = token_of(rotating, "held").to_json()
    setup.save()
    assert incident.begin(owner.principal, "rotating-test") == 1
    with pytest.raises(ProblemError):
        goes_on(Setup.objects.get(pk=setup.pk), token_of(rotating, "held"), owner)
    work()
    assert alive(rotating) == []
    assert not Setup.objects.filter(token__isnull=False).exists()
    assert incident.progress(setup.partner_id, "rotating-test").is_over
    assert Installation.objects.get().status == Status.NOT_SET_UP


def test_a_consent_that_is_under_way_connects_no_more(setup, rotating, owner):
    asked = consent_asked(setup)
    setup.installation.wait_for_consent()
    incident.begin(owner.principal, "rotating-test")
    assert not asked.consume()
    assert Installation.objects.get().status == Status.NOT_SET_UP
    # As one whose answer had come already, and whose code was being exchanged.
    with pytest.raises(ProblemError):
        goes_on(setup, token_of(rotating, "given"), owner)
    assert Installation.objects.get().status == Status.NOT_SET_UP
    work()
    assert alive(rotating) == []


def test_another_connectors_setups_go_on(setup, rotating, owner):
    incident.begin(owner.principal, "heartland-retail")
    goes_on(setup, token_of(rotating, "given"), owner)
    assert Installation.objects.get().status == Status.CONNECTED


# ── support's command ───────────────────────────────────────────────────────────────────────────


def test_support_lists_who_is_affected_and_changes_nothing(rows, rotating, account, capsys):
    call_command("revoke", partner="northwind.example", connector="rotating-test")
    said = capsys.readouterr().out
    for row in rows:
        assert f"Northwind Software\t{account.name}\tcust-1\trotating-test\t{row.pk}" in said
    assert "Installations: 3. Partners: 1." in said
    work()
    assert alive(rotating) == ["a", "b", "c"]


@pytest.mark.parametrize("by", ["name", "domain", "id", "connector"])
def test_support_ends_it_all(by, rows, rotating, northwind, capsys):
    values = {"name": northwind.name, "domain": northwind.domain, "id": str(northwind.pk)}
    chosen = {"connector": "rotating-test"} if by == "connector" else {"partner": values[by]}
    call_command("revoke", **chosen, yes=True, by="ada@console.example")
    assert "3 are being disconnected" in capsys.readouterr().out
    work()
    assert alive(rotating) == []
    actor = Event.objects.filter(kind="installation.disconnected").first().actor
    assert actor == "ada@console.example (staff)"


def test_support_names_somebody_who_is_there(northwind):
    for wrong in ({}, {"partner": "nobody"}):
        with pytest.raises(CommandError):
            call_command("revoke", **wrong)
