"""The OpenAPI document against the running API: whatever it allows is answered as it says."""

import json

import pytest
import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation

from console.api import api
from installations.models import HookAddress, Installation, ReceivedWebhook, SetupLink, Status
from tests.calling import caller
from tests.product import full

pytestmark = pytest.mark.django_db

_application = get_wsgi_application()


def _served(environ, start_response):
    return _application({"REMOTE_ADDR": "127.0.0.1"} | environ, start_response)


# What comes through the proxy is the provider's to describe.
schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", _served).exclude(tag="Proxy")


def test_the_document_is_openapi_3_1_and_names_every_operation_once():
    document = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    assert document["openapi"].startswith("3.1")
    found = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in found]
    assert len(names) == len(set(names))
    assert len(names) >= 20
    assert all(operation["summary"] and operation["security"] for operation in found)


# What a schema cannot say is refused too: a cursor of another list, an account that is not there.
positive_data_acceptance = schemathesis.checks.CHECKS.get_one("positive_data_acceptance")


@pytest.fixture
def _one_connection():
    """What Django's own test client does: a request ends without the connection of the test."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def known(northwind, account, installation, settings) -> dict[str, str]:
    """What there is, by the names of parameters."""
    settings.API_CALLS_PER_MINUTE = 1_000_000
    link, _ = SetupLink.issue(installation, by="owner")
    hooked = Installation.objects.create(
        partner=northwind, account=account, connector="stripe", status=Status.CONNECTED
    )
    HookAddress.issue(hooked, by="owner", secret="of Stripe")
    received = ReceivedWebhook.objects.create(
        partner=northwind, installation=hooked, received_at=timezone.now(), size=2, body={"text": "{}"}
    )
    found = {"account_id": account.pk, "installation_id": installation.pk, "link_id": link.pk}
    found |= {"received_id": received.pk, "hooked": hooked.pk}
    return {name: str(pk) for name, pk in found.items()} | {"key": "heartland-retail"}


@schema.parametrize()
@settings(
    max_examples=full(8, 300),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.usefixtures("_one_connection")
def test_every_operation_answers_as_the_document_says(case, northwind, known):
    # Each on what there was at first: one may delete what the next one asks for.
    with transaction.atomic():
        headers = {"Host": "console.test"}
        if case.meta.generation.mode is GenerationMode.POSITIVE:
            there = {name: known[name] for name in case.path_parameters if name in known}
            if "/webhook" in case.path and "installation_id" in there:
                there["installation_id"] = known["hooked"]
            if len(str(case.body)) % 3:
                case.path_parameters = {**case.path_parameters, **there}
        header = case.meta.components.get(ParameterLocation.HEADER)
        if header is None or header.mode is GenerationMode.POSITIVE:
            headers["Authorization"] = f"Bearer {caller(northwind).written}"
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
        transaction.set_rollback(True)
