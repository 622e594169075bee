"""The outermost layer: a request that Django cannot even begin still ends in a page of ours.

A charset that is none, say, is refused before any middleware; the server's own words for it would be a bare
page, and its log line the whole address, with what stands in it.
"""

import logging
import secrets

log = logging.getLogger("console.shield")

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>This request cannot be answered</title>
<h1>This request cannot be answered</h1>
<p>Something in it has a form that we do not accept, or something broke on our side. Nothing was changed.</p>
<p><a href="/">Go to the start page</a></p>
<p>Reference {reference}</p></html>"""


class Shield:
    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        try:
            return self.application(environ, start_response)
        except Exception as error:
            reference = secrets.token_hex(4).upper()
            # Neither the address nor the error's words, which may repeat it.
            log.error("a request could not be answered: %s ref=%s", type(error).__name__, reference)
            body = PAGE.format(reference=reference).encode()
            headers = {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Length": str(len(body)),
                "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
                "X-Frame-Options": "DENY",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-store",
                "X-Request-Id": reference,
            }
            start_response("500 Internal Server Error", list(headers.items()))
            return [body]
