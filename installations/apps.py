from django.apps import AppConfig


class Installations(AppConfig):
    name = "installations"

    def ready(self) -> None:
        # Registers what does the work in the background.
        from installations import background, clients, ending, incident, reach, upgrading  # noqa: F401
        from installations.webhooks import delivery, keeping  # noqa: F401
