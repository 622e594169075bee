"""A connection that ends here ends at its provider too (RFC 7009), and leaves no secret behind.

Row 11 of the scorecard: the provider is asked within 60 s, again for 24 h, and 0 rows of secrets stay.
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection, connections
from django.db.models import ProtectedError

from connectors.models import ConnectorSettings
from console import clock, jobs
from console.models import Account, Event, Job
from console.problems import ProblemError
from console.sealed import SealedField
from installations import connecting, ending, leases, renewed, renewing, spool, tokens
from installations.auth.token_response import parse
from installations.models import Credential, Installation, Revocation
from tests import rotating as at_rotating
from tests.rotating import connected, store_client
from tests.stand_ins.rotating import CLIENT

pytestmark = pytest.mark.django_db(transaction=True)
rotating, rotating_process = at_rotating.rotating, at_rotating.rotating_process


@pytest.fixture
def row(rotating, account, northwind) -> Installation:
    store_client(northwind)
    return connected(rotating, account, ["g"])[0]


def places_of(canary: str) -> set[str]:
    """The tables in which it stands, as it is or sealed."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found |= {table for values in cursor.fetchall() if canary in repr(values)}
    for model in apps.get_models():
        for field in model._meta.fields:
            if isinstance(field, SealedField):
                opened = (repr(getattr(found_row, field.attname)) for found_row in model.objects.all())
                found |= {model._meta.db_table for text in opened if canary in text}
    return found


def revocations() -> list[str]:
    return list(Event.objects.filter(kind__startswith="grant.").values_list("kind", flat=True))


@pytest.mark.parametrize("how", ["disconnect", "delete"])
def test_it_ends_at_the_provider_and_no_table_keeps_the_token(how, row, rotating, owner):
    token = row.current_token()
    canaries = (token.access_token, token.refresh_token)
    assert places_of(canaries[0]) == places_of(canaries[1]) == {"installations_credentialversion"}
    answer = owner.client.post(f"/installations/{row.pk}/{how}/", follow=True)
    assert "Rotating is asked to end the access as well" in answer.content.decode()
    assert places_of(canaries[1]) == {"installations_revocation"}
    waited = clock.now()
    assert jobs.work() >= 1
    assert clock.now() - waited < timedelta(seconds=60)
    assert not rotating.alive("g")
    assert rotating.asked["revoke"] == 1
    assert [places_of(canary) for canary in canaries] == [set(), set()]
    ended = Event.objects.get(kind="grant.ended")
    assert (ended.text, ended.subject_id) == ("Rotating has ended the access", row.pk)
    assert not Job.objects.filter(subject_id=row.pk).exists()


def test_the_request_is_made_with_the_rest_or_not_at_all(row, owner, monkeypatch):
    def broken(self):
        raise RuntimeError

    monkeypatch.setattr(Installation, "disconnect", broken)
    with pytest.raises(RuntimeError):
        ending.disconnect(row, owner.principal)
    assert not Revocation.objects.exists()
    assert not Job.objects.filter(kind="revoke").exists()


def test_the_refresh_token_is_sent_and_with_it_no_more_than_is_needed(row, owner):
    token = row.current_token()
    ending.disconnect(row, owner.principal)
    grant = Revocation.objects.get().grant
    assert grant["token"]["refresh_token"] == token.refresh_token
    assert grant["values"] == {"client_id": CLIENT[0], "client_secret": CLIENT[1]}


def test_503_means_that_it_lives_and_it_is_asked_again_when_the_provider_says(row, rotating, owner):
    rotating.control(answers=[503], retry_after="120")
    ending.disconnect(row, owner.principal)
    jobs.work()
    job = Job.objects.get(kind="revoke")
    assert job.last_error == "provider_unavailable"
    assert rotating.alive("g")
    assert jobs.work() == 0
    hurry(job)
    jobs.work()
    assert not rotating.alive("g")
    assert not Revocation.objects.exists()


def hurry(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(due_at=clock.now() - timedelta(seconds=1))


def test_retry_after_is_kept_to(row, rotating, owner):
    rotating.control(answers=[503], retry_after="120")
    ending.disconnect(row, owner.principal)
    jobs.work()
    ahead = Job.objects.get(kind="revoke").due_at - clock.now()
    assert timedelta(seconds=115) < ahead <= timedelta(seconds=120)


def test_a_token_that_the_provider_does_not_know_has_ended(row, rotating, owner):
    rotating.control(reset=True)
    ending.disconnect(row, owner.principal)
    jobs.work()
    assert revocations() == ["grant.ended"]
    assert not Revocation.objects.exists()


def test_after_a_day_it_is_given_up_and_the_record_says_so(row, rotating, owner):
    rotating.control(answers=[503] * 3)
    token = row.current_token()
    ending.disconnect(row, owner.principal)
    made = Revocation.objects.get()
    for hours in (1, 23):
        Revocation.objects.filter(pk=made.pk).update(created_at=clock.now() - timedelta(hours=hours))
        hurry(Job.objects.get(kind="revoke"))
        jobs.work()
        assert revocations() == []
    Revocation.objects.filter(pk=made.pk).update(created_at=clock.now() - timedelta(hours=24, seconds=1))
    hurry(Job.objects.get(kind="revoke"))
    jobs.work()
    assert revocations() == ["grant.not_ended"]
    assert "may live on there" in Event.objects.get(kind="grant.not_ended").text
    assert places_of(token.refresh_token) == set()
    assert not Job.objects.filter(kind="revoke").exists()
    assert rotating.asked["revoke"] == 3


def test_a_provider_that_cannot_be_asked_is_said_to_be_one(installation, owner):
    from installations.auth import Token
    from installations.models import CredentialVersion, Status

    Installation.objects.filter(pk=installation.pk).update(status=Status.CONNECTED, auth_method="api_key")
    version = CredentialVersion.objects.create(
        partner=installation.partner, installation=installation, token=Token(access_token="key").to_json()
    )
    Credential.objects.create(partner=installation.partner, installation=installation, current=version)
    answer = owner.client.post(f"/installations/{installation.pk}/disconnect/", follow=True)
    page = answer.content.decode()
    assert "is asked to end" not in page
    assert installation.definition.manifest.disconnect_note in page
    assert not Revocation.objects.exists()


def test_a_grant_that_another_installation_lives_by_is_kept_until_the_last(
    rotating, account, northwind, owner
):
    store_client(northwind)
    one, other = connected(rotating, account, ["a", "b"])
    Installation.objects.filter(pk=other.pk).update(external_account_id=one.external_account_id)
    assert "Another installation uses the same" in ending.disconnect(one, owner.principal)
    assert revocations() == ["grant.kept"]
    other.refresh_from_db()
    ending.disconnect(other, owner.principal)
    assert Revocation.objects.count() == 1


def test_a_secret_that_was_replaced_since_is_not_needed(row, rotating, northwind, owner):
    rotating.control(revoke_checks_client=True)
    ending.disconnect(row, owner.principal)
    rotating.control(secrets=["the new secret"])
    store_client(northwind, "the new secret")
    jobs.work()
    assert revocations() == ["grant.ended"]
    assert not rotating.alive("g")


def test_a_setup_that_was_not_finished_holds_a_grant_too(row, rotating, owner):
    setup = connecting.begin(row, owner.principal)
    answer = rotating.control(issue=["h"])["h"]
    from installations.auth import Token

    setup.token = Token(access_token=answer["access_token"], refresh_token=answer["refresh_token"]).to_json()
    setup.save()
    ending.disconnect(row, owner.principal)
    jobs.work()
    assert not rotating.alive("g")
    assert not rotating.alive("h")


def test_a_token_that_arrives_after_the_end_is_ended_as_well(row, rotating, owner):
    """Disconnected while a renewal was under way: what it brings is in no table and no file."""
    held = leases.take(tokens.read(row.pk), row.definition.manifest.method("strict"))
    ask = renewing.ask

    def ask_then_disconnect(*args, **kwargs):
        found = ask(*args, **kwargs)
        ending.disconnect(row, owner.principal)
        return found

    renewing.ask = ask_then_disconnect
    try:
        with pytest.raises(leases.Superseded):
            renewing.renew(held)
    finally:
        renewing.ask = ask
    assert spool.kept() == []
    assert Revocation.objects.count() == 2
    jobs.work()
    assert not rotating.alive("g")
    assert not Revocation.objects.exists()


def left_in_the_spool(row, rotating, grant: str) -> None:
    """As by a process that was killed after the answer came, and before it was written."""
    held = leases.take(tokens.read(row.pk), row.definition.manifest.method("strict"))
    body = json.dumps(rotating.control(issue=[grant])[grant]).encode()
    renewing._keep(held, 200, body, clock.now())


def test_an_answer_in_the_spool_whose_credential_is_gone_is_ended_as_well(row, rotating, owner):
    left_in_the_spool(row, rotating, "came late")
    ending.disconnect(row, owner.principal)
    assert renewed.replay() == 0
    assert spool.kept() == []
    jobs.work()
    assert not rotating.alive("g")
    assert not rotating.alive("came late")


def test_it_is_left_alone_where_the_account_is_connected_again(row, rotating, owner):
    left_in_the_spool(row, rotating, "came late")
    ending.disconnect(row, owner.principal)
    setup = connecting.begin(row, owner.principal)
    connecting.choose_method(setup, "strict")
    consent(setup, rotating, owner, "g")
    assert renewed.replay() == 0
    assert spool.kept() == []
    jobs.work()
    assert rotating.alive("came late")
    assert rotating.alive("g")


def test_a_worker_that_dies_leaves_the_grant_to_the_next(row, rotating, owner):
    ending.disconnect(row, owner.principal)
    assert jobs.claim() is not None
    assert jobs.work() == 0
    hurry(Job.objects.get(kind="revoke"))
    jobs.work()
    assert not rotating.alive("g")


def test_the_account_may_go_before_its_grants_have_ended_and_the_partner_may_not(
    row, rotating, northwind, owner
):
    account = row.account
    with pytest.raises(ProtectedError):
        account.delete()
    with pytest.raises(ProtectedError):
        northwind.delete()
    owner.client.post(f"/installations/{row.pk}/delete/")
    owner.client.post(f"/accounts/{account.pk}/delete/")
    assert not Account.objects.exists()
    with pytest.raises(ProtectedError):
        northwind.delete()
    jobs.work()
    assert not rotating.alive("g")
    northwind.delete()
    assert not ConnectorSettings.objects.exists()


def test_support_deletes_an_installation_with_its_grant(row, rotating, staff):
    staff.post(f"/staff/installations/installation/{row.pk}/delete/", {"post": "yes"})
    assert not Installation.objects.exists()
    jobs.work()
    assert not rotating.alive("g")


def test_another_account_in_place_ends_the_grant_of_the_one_before(row, rotating, owner):
    for switched, alive in ((False, True), (True, False)):
        setup = connecting.begin(row, owner.principal)
        setup.reviewed_at, setup.switch_account = clock.now(), switched
        setup.save()
        consent(setup, rotating, owner, "g2" if switched else "g")
        jobs.work()
        assert rotating.alive("g") is alive
    row.refresh_from_db()
    assert row.external_account_id == "g2"
    assert rotating.alive("g2")


def consent(setup, rotating, owner, grant: str) -> None:
    """What the callback does once it has a token."""
    import json

    from installations.auth.token_response import parse

    manifest = setup.definition.manifest
    answer = rotating.control(issue=[grant])[grant]
    shape = manifest.method(setup.auth_method).token_response
    token = parse(200, json.dumps(answer).encode(), shape, requested_at=clock.now())
    partner = ConnectorSettings.objects.for_connector(setup.partner_id, setup.installation.connector)
    connecting.connect(manifest, partner, setup, token, owner.principal, None)


def test_one_that_is_set_up_again_before_the_provider_answers_is_left_alone(row, rotating, owner):
    """Where a provider knows one grant for each client and account, the late answer would end the new one."""
    rotating.control(answers=[503])
    ending.disconnect(row, owner.principal)
    jobs.work()
    setup = connecting.begin(row, owner.principal)
    connecting.choose_method(setup, "strict")
    consent(setup, rotating, owner, "g")
    hurry(Job.objects.get(kind="revoke"))
    jobs.work()
    assert revocations() == ["grant.kept"]
    assert not Revocation.objects.exists()
    assert rotating.alive("g")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there one writes at a time")
def test_consent_and_a_disconnect_at_one_moment_wait_for_each_other(row, rotating, owner, monkeypatch):
    """Both lock the credential before the installation: otherwise each would hold what the other wants."""
    holds, wants = threading.Event(), threading.Event()
    before = Installation.disconnect

    def slowly(installation):
        holds.set()
        wants.wait(10)
        time.sleep(0.3)
        before(installation)

    def disconnect():
        try:
            ending.disconnect(Installation.objects.get(pk=row.pk), owner.principal)
        finally:
            connections.close_all()

    monkeypatch.setattr(Installation, "disconnect", slowly)
    setup = connecting.begin(row, owner.principal)
    setup.reviewed_at = clock.now()
    setup.save()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(disconnect)
        holds.wait(10)
        monkeypatch.setattr(connecting.verification, "verify", _then(wants, connecting.verification.verify))
        with pytest.raises(ProblemError) as caught:
            consent(setup, rotating, owner, "g")
        ended.result(20)
    assert caught.value.code == "attempt_revoked"
    row.refresh_from_db()
    assert row.status == "disconnected"


def _then(event, function):
    def called(*args):
        try:
            return function(*args)
        finally:
            event.set()

    return called


# ── a grant that was given and then not taken ───────────────────────────────────────────────────


def reauthorised(row: Installation, rotating, grant: str, owner, **account: str) -> None:
    """Consent is given anew: by the account named, or by the grant's own."""
    setup = connecting.begin(row, owner.principal)
    manifest = setup.definition.manifest
    partner = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
    answer = rotating.control(issue=[grant])[grant]
    token = parse(
        200, json.dumps(answer).encode(), manifest.method("strict").token_response, requested_at=clock.now()
    )
    connecting.connect(manifest, partner, setup, token, owner.principal, None)


def test_the_grant_of_a_wrong_account_ends_at_its_provider(row, rotating, owner):
    with pytest.raises(ProblemError, match="wrong_account"):
        reauthorised(row, rotating, "another", owner)
    jobs.work()
    assert not rotating.alive("another")
    assert rotating.alive("g")


def test_it_is_left_alone_where_another_installation_lives_by_that_account(row, rotating, account, owner):
    connected(rotating, account, ["another"])
    with pytest.raises(ProblemError, match="wrong_account"):
        reauthorised(row, rotating, "another", owner)
    jobs.work()
    assert rotating.alive("another")


def test_the_grant_that_comes_to_an_installation_that_was_switched_off_meanwhile_ends(row, rotating, owner):
    ending.disconnect(row, owner.principal)
    row.set_disabled(True)
    with pytest.raises(ProblemError, match="installation_disabled"):
        reauthorised(row, rotating, "late", owner)
    jobs.work()
    assert not rotating.alive("late")
