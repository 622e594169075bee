"""Credentials that are fetched in bulk, as a stolen key is used: refused, and told at once."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction

from console import jobs, throttle
from console.jobs import Claim, handler
from console.models import ApiKey, Event
from console.problems import ProblemError
from installations.alerts import itself
from installations.notices import digest, mailing

_TEXT = """\
Hello,

the API key {name} ({beginning}…) asked for the credentials of more than {limit} installations
within a minute. What came beyond that was refused.

If it is your own software, raise the key's limit: {page}
If it is not, revoke the key on the same page at once, and end every access of the connectors
that it may have read, on their Settings tabs.
"""


def count(key: ApiKey, installation_id: UUID) -> None:
    """Note that this key fetches this installation's credential; the same one again costs nothing.

    Raises ProblemError "too_many_credentials" for one beyond what the key may fetch in a minute.
    """
    limit = key.credentials_per_minute
    if limit is None or throttle.place(f"credentials of:{key.pk}", str(installation_id)) <= limit:
        return
    if throttle.count(f"alarm of:{key.pk}") == 1:
        said = f"The API key {key.name} asked for more than {limit} credentials within a minute"
        with transaction.atomic():
            Event.objects.record("api_key.alarm", itself(key.partner_id), said, subject=key)
            jobs.schedule("alarm", key.pk, key.partner_id)
    raise ProblemError(
        "too_many_credentials",
        retry_after=timedelta(seconds=throttle.seconds_left()),
        words=f"{limit} installations a minute",
    )


@handler("alarm", lease_seconds=120)
def tell(claim: Claim) -> None:
    """Mail everybody of the partner at once; no more than one such mail an hour."""
    key = ApiKey.objects.filter(pk=claim.subject_id, partner__is_active=True).first()
    to = digest.readers(key.partner) if key else []
    if not to or mailing.was_sent(key.partner_id, kind="alarm", within=timedelta(hours=1)):
        return
    notice = mailing.begun(claim, kind="alarm")
    notice.to, notice.subject = to, f"An API key fetches unusually many credentials: {key.name}"[:200]
    notice.text = _TEXT.format(
        name=mailing.one_line(key.name),
        beginning=key.beginning,
        limit=key.credentials_per_minute,
        page=mailing.page("api-key", key.pk),
    )
    notice.save()
    try:
        mailing.send(notice, notice.text)
    except mailing.NotSent as error:
        mailing.failed(notice, error, subject=key)
        return
    with claim.finish():
        mailing.sent(notice, f"An alarm was sent to {len(to)} people", subject=key)
