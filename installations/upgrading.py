"""From the release that an installation was made with to today's, where nobody need be asked."""

from connectors import releases
from connectors.manifest import Manifest, holds
from connectors.models import ConnectorSettings
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations import connecting
from installations.models import Installation


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
