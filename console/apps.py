from django.apps import AppConfig


class Console(AppConfig):
    name = "console"

    def ready(self):
        from console import deployment  # noqa: F401 - registers its checks
