"""What `manage.py check --deploy` says is missing around the product."""

from django.conf import settings
from django.core.checks import Warning, register


@register(deploy=True)
def finds_what_it_needs(app_configs, **kwargs) -> list[Warning]:
    """Mail; and PostgreSQL is for several machines: what each process keeps to itself counts apart then."""
    found = []
    if not settings.CAN_MAIL:
        found.append(
            Warning(
                "EMAIL_URL is not set: nobody gets a link or a notice.",
                hint="EMAIL_URL=smtp+tls://user:password@host:587",
                id="console.W003",
            )
        )
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
        return found
    if "locmem" in settings.CACHES["default"]["BACKEND"]:
        found.append(
            Warning(
                "CACHE_URL is not set: each process counts the limits on tries by itself.",
                hint="CACHE_URL=rediscache://127.0.0.1:6379/1",
                id="console.W001",
            )
        )
    if not settings.QUEUE_URL:
        found.append(
            Warning(
                "QUEUE_URL is not set: workers on other machines are not woken, and look only each minute.",
                hint="QUEUE_URL=redis://127.0.0.1:6379/0",
                id="console.W002",
            )
        )
    return found
