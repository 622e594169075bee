"""From the release that an installation was made with to today's, where nobody need be asked.

One at once, or all of a connector in the background: a job goes through them, and is taken up again where a
worker ended.
"""

import time
from dataclasses import dataclass

from django.db import transaction

from connectors import catalogue, releases
from connectors.manifest import Manifest, holds
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.jobs import Claim, handler
from console.models import Event, Job
from console.problems import ProblemError
from console.tenancy import Principal
from installations import connecting
from installations.models import Installation

KIND, ASKED, DONE = "upgrade_all", "connector.upgrading", "connector.upgraded"
# So long a worker stays with one connector before it looks for other work.
TURN_SECONDS = 20


@dataclass(frozen=True)
class Behind:
    """The installations of a connector that use an earlier release."""

    number: int
    # They are being upgraded at this moment.
    is_under_way: bool
    # They were, as far as can be: what is left has to be asked something.
    is_tried: bool


def behind(principal: Principal, connector: str) -> Behind | None:
    """None where there is none."""
    today = catalogue.get(principal.partner_id, connector)
    if not today or not (number := Installation.objects.visible_to(principal).behind(today).count()):
        return None
    subject = ConnectorSettings.registration_id(principal.partner_id, connector)
    last = Event.objects.visible_to(principal).filter(subject_id=subject, kind=DONE).first()
    is_tried = bool(last and last.details["release"] == today.digest)
    return Behind(number, Job.objects.filter(kind=KIND, subject_id=subject).exists(), is_tried)


def begin(principal: Principal, connector: str) -> None:
    """Let all installations of a connector be upgraded. Raises ProblemError: connector_gone."""
    today = catalogue.get(principal.partner_id, connector)
    if today is None:
        raise ProblemError("connector_gone")
    subject = ConnectorSettings.registration_id(principal.partner_id, connector)
    with transaction.atomic():
        text = f"All installations of {today.name} are being upgraded"
        Event.objects.record(ASKED, principal, text[:300], subject=subject, connector=connector)
        jobs.schedule(KIND, subject, principal.partner_id)


# What cannot be upgraded is looked at anew in each turn.
@handler(KIND, lease_seconds=600)
def upgrade_all(claim: Claim) -> None:
    """Upgrade one after the other, and note how many could not be."""
    partner_id = claim.job.partner_id
    asked = Event.objects.filter(partner_id=partner_id, subject_id=claim.subject_id, kind=ASKED).first()
    today = asked and catalogue.get(partner_id, asked.details["connector"])
    if today is None:
        return
    principal = Principal(partner_id=partner_id, actor=asked.actor)
    settings = ConnectorSettings.objects.for_connector(partner_id, today.slug)
    until, left = time.monotonic() + TURN_SECONDS, 0
    for row in Installation.objects.visible_to(principal).behind(today).iterator():
        try:
            upgrade(row, settings, principal)
        except ProblemError:
            left += 1
            continue
        if time.monotonic() > until:
            with claim.finish(clock.now()):
                return
    with claim.finish():
        text = f"The installations of {today.name} were upgraded" + (f", but for {left}" if left else "")
        Event.objects.record(
            DONE, principal, text[:300], subject=claim.subject_id, release=today.digest, left=left
        )


def upgrade(installation: Installation, partner: ConnectorSettings, principal: Principal) -> None:
    """Let it go on by today's release. Raises ProblemError: connector_gone, upgrade_needs_setup."""
    today = installation.current
    if today is None:
        raise ProblemError("connector_gone")
    if lacking := what_is_lacking(today.manifest, partner, installation):
        raise ProblemError("upgrade_needs_setup", words=", ".join(lacking))
    before = installation.release_id
    digest = releases.keep(today)
    # By what it was: a setup that finishes meanwhile has brought a release of its own.
    rows = Installation.objects.filter(pk=installation.pk, release_id=before)
    if rows.update(release_id=digest):
        installation.release_id = digest
        Event.objects.record(
            "installation.upgraded",
            principal,
            f"It uses version {today.manifest.version} now",
            subject=installation,
            before=before,
        )


def what_is_lacking(manifest: Manifest, partner: ConnectorSettings, installation: Installation) -> list[str]:
    """What the new release needs and this installation does not have, in the words of its labels."""
    if not installation.auth_method:
        return []
    known = [method for method in manifest.auth_methods if method.key == installation.auth_method]
    if not known:
        return ["the way to connect"]
    before = installation.definition.manifest
    if known[0].type != before.method(installation.auth_method).type:
        return ["the way to connect"]
    had = {prop.name for prop in before.properties_for(installation.auth_method)}
    values = {**(partner.values or {}), **(installation.values or {})}
    return [
        prop.label
        for prop in connecting.asked(manifest, partner, installation.auth_method)
        if prop.required
        and not prop.default
        and prop.name not in had
        and prop.name not in installation.stored
        and holds(prop.visible_if, values)
    ]
