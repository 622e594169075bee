"""The health of a connector, and what a person does about a token that is not renewed by itself."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from connectors import catalogue
from console import clock, jobs, throttle
from console.models import Event
from console.problems import ProblemError
from console.tenancy import partner_member
from installations import dashboard, tokens
from installations.models import Alert, Credential, Installation
from installations.sparkline import sparklines
from installations.views import defined, name_of


@require_safe
@partner_member
def connector(request: HttpRequest, slug: str) -> HttpResponse:
    """How the installations of one connector fare, and what about them needs somebody."""
    entry = catalogue.entry(request.principal, slug)
    if entry is None:
        raise Http404(f"no connector {slug}")
    about = f"connector:{slug}"
    rows = Installation.objects.visible_to(request.principal).filter(connector=slug)
    states = dashboard.states(rows)
    return render(
        request,
        "connectors/health.html",
        {
            "connector": entry.connector,
            "custom": entry.custom,
            "tab": "health",
            "states": states,
            "installed": any(count for _, _, count in states),
            "keep": f"connector={slug}&",
            "troubles": dashboard.troubles(rows, {slug: entry.connector.name}),
            "alerts": dashboard.worded(
                Alert.objects.visible_to(request.principal).filter(connector=slug, closed_at=None),
                {slug: entry.connector.name},
            ),
            "spark": sparklines(request.principal, [about])[about],
        },
    )


def _installation(request: HttpRequest, installation_id: UUID) -> Installation:
    rows = Installation.objects.visible_to(request.principal).select_related("partner")
    return get_object_or_404(rows, pk=installation_id)


@require_POST
@partner_member
def renew(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Renew the token because a person asks."""
    return _renewed(request, _installation(request, installation_id))


@require_POST
@partner_member
def try_anyway(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Renew although nobody knows what became of the last time: a person's decision, on the record."""
    row = _installation(request, installation_id)
    credential = Credential.objects.visible_to(request.principal).filter(installation=row).first()
    if credential is None or not credential.try_anyway():
        messages.info(request, "There is nothing to try: it is known again how it stands.")
        return redirect("installation", row.pk)
    # Should the provider be down at this moment, it is tried again without anybody asking.
    jobs.schedule("renew", row.pk, row.partner_id, clock.now() + timedelta(minutes=1))
    Event.objects.record(
        "installation.tried_anyway",
        request.principal,
        "A renewal was tried although the outcome of the last one is unknown",
        subject=row,
    )
    return _renewed(request, row)


def _renewed(request: HttpRequest, row: Installation) -> HttpResponse:
    name = name_of(row)
    try:
        throttle.spend(f"renew:{row.pk}", per_minute=1)
        defined(row)
        tokens.renew_now(row.pk)
    except ProblemError as error:
        said = f"{error.sentence(connector=name, partner=row.partner.name)} Reference {request.reference}."
        messages.error(request, said)
        Event.objects.record(
            "installation.renewal_failed",
            request.principal,
            "The token could not be renewed",
            subject=row,
            reference=request.reference,
            code=error.code,
            words=error.words,
        )
    else:
        Event.objects.record("installation.renewed", request.principal, "The token was renewed", subject=row)
        messages.success(request, f"The token was renewed at {name}.")
    return redirect("installation", row.pk)
