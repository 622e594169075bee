"""What `manage.py check --deploy` says about several processes that have to act as one."""

from django.conf import settings
from django.core.checks import Warning, register


@register(deploy=True)
def shares_what_must_be_shared(app_configs, **kwargs) -> list[Warning]:
    """PostgreSQL is for several machines: what each process keeps to itself counts apart then."""
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
        return []
    found = []
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
