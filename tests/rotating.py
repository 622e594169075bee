"""Installations at the rotating stand-in, connected without anybody walking through the wizard."""

from datetime import timedelta

import pytest
from django.conf import settings as django_settings

from connectors import registry, releases
from connectors.models import ConnectorSettings
from console import clock
from console.models import Account, Job, Partner
from console.tenancy import Principal
from installations import standing
from installations.auth import Token
from installations.auth.token_response import parse
from installations.models import Credential, CredentialVersion, Installation, Status
from tests.stand_ins.control import StandIn
from tests.stand_ins.process import ROOT, running
from tests.stand_ins.rotating import CLIENT

LIBRARIES = [ROOT / "tests" / "library", *django_settings.CONNECTOR_LIBRARIES]


class Rotating(StandIn):
    """The stand-in, and what it is asked."""

    def state(self) -> dict:
        import json
        import urllib.request

        with urllib.request.urlopen(self.origin + "/_state") as response:
            return json.loads(response.read())

    @property
    def asked(self) -> dict[str, int]:
        return self.state()["calls"]

    def control(self, **asked) -> dict:
        return self.post("/_control", asked)

    def alive(self, grant: str) -> bool:
        return self.state()["grants"][grant]["alive"]


@pytest.fixture(scope="session")
def rotating_process():
    with running("tests.stand_ins.rotating") as server:
        yield server


@pytest.fixture
def rotating(rotating_process, settings) -> Rotating:
    settings.STAND_IN_ORIGINS = {"https://rotating.test": rotating_process.origin}
    settings.CONNECTOR_LIBRARIES = LIBRARIES
    registry.all.cache_clear()
    server = Rotating(rotating_process.origin)
    server.control(reset=True)
    yield server
    registry.all.cache_clear()


def store_client(partner: Partner, secret: str = CLIENT[1]) -> ConnectorSettings:
    row = ConnectorSettings.objects.for_connector(partner.pk, "rotating-test")
    principal = Principal(partner_id=partner.pk, actor="owner@northwind.example")
    row.change(principal, {"client_id": CLIENT[0], "client_secret": secret})
    # What follows from it is another test's.
    Job.objects.filter(subject_id=row.pk).delete()
    return ConnectorSettings.objects.get(pk=row.pk)


def connected(
    server: Rotating, account: Account, grants: list[str], *, method: str = "strict", ends_in: float = 3600
) -> list[Installation]:
    """An installation for each grant, whose token ends in that many seconds (past ones have ended)."""
    connector = registry.get("rotating-test")
    release = releases.keep(connector)
    made = []
    answers = server.control(issue=grants)
    at = clock.now()
    for grant in grants:
        token = _token(answers[grant], connector.manifest.method(method), at, ends_in)
        row = Installation.objects.create(
            partner=account.partner,
            account=account,
            connector="rotating-test",
            name=grant,
            release_id=release,
            auth_method=method,
            status=Status.CONNECTED,
            external_account_id=grant,
            external_account_name=grant,
        )
        version = CredentialVersion.objects.create(
            partner=account.partner,
            installation=row,
            **standing.version_fields(
                connector.manifest.method(method), token, {"client_id": CLIENT[0], "client_secret": ""}
            ),
        )
        Installation.objects.filter(pk=row.pk).update(client_digest=version.client_digest)
        # Obtained an hour ago.
        CredentialVersion.objects.filter(pk=version.pk).update(created_at=at - timedelta(hours=1))
        Credential.objects.create(partner=account.partner, installation=row, current=version)
        made.append(row)
    return made


def _token(answer: dict, method, at, ends_in: float) -> Token:
    import json
    from dataclasses import replace

    token = parse(200, json.dumps(answer).encode(), method.token_response, requested_at=at)
    return replace(token, expires_at=at + timedelta(seconds=ends_in))
