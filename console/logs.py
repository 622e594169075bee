"""What stands in every line of the log: the request or the job that it belongs to, and its partner."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.views.debug import SafeExceptionReporterFilter
from pythonjsonlogger.json import JsonFormatter

_about: ContextVar[dict] = ContextVar("about", default={})  # noqa: B039 - never changed in place


@contextmanager
def about(**facts) -> Iterator[None]:
    """Let every line written within say these: `ref`, `job`, `partner`, or the `request` that knows more."""
    before = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(before)


class Context(logging.Filter):
    """Put what the line is about into the record: as `context` for people, as fields for machines."""

    def filter(self, record):
        facts = dict(_about.get())
        # Who asks is found out in the course of the request.
        request = facts.pop("request", None)
        principal = getattr(request, "principal", None)
        if principal is not None:
            facts["partner"] = principal.partner_id
        # Of a call that was passed on.
        facts["installation"] = getattr(request, "installation_id", None)
        said = {name: str(value) for name, value in facts.items() if value is not None}
        record.context = "".join(f" {name}={value}" for name, value in said.items())
        record.about = said
        return True


class Unquoted(logging.Filter):
    """For gunicorn's own log: of a request that it could not read or answer it quotes what it has read.

    That may be a setup link, or a header with its value. From where it came is kept.
    """

    def filter(self, record):
        if found := re.match(
            r"Invalid request from ip=\S*?(?=: )|Error handling request", record.getMessage()
        ):
            record.msg, record.args = found[0], ()
        return True


# Nothing else: libraries hang whole requests and statements onto their lines.
FIELDS = ["time", "level", "logger", "message", "exc_info"]
FIELDS += ["method", "route", "status", "ms", "user", "outcome"]


class Json(JsonFormatter):
    """One object a line: what a line always says, what it is about, and what was given as `extra`."""

    # RFC 3339, whatever the machine's own time zone.
    converter, default_time_format, default_msec_format = time.gmtime, "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"

    def __init__(self):
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )

    def add_fields(self, log_data, record, message_dict):
        super().add_fields(log_data, record, message_dict)
        for name in log_data.keys() - set(FIELDS):
            del log_data[name]
        log_data.update(record.about)


class Discreet(SafeExceptionReporterFilter):
    """Of a fault Django shows where it was, and not what was in hand there."""

    def get_traceback_frame_variables(self, request, tb_frame):
        return []

    def get_post_parameters(self, request):
        return dict.fromkeys(request.POST, self.cleansed_substitute) if request else {}
