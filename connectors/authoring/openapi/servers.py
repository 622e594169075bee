"""Where the API is: the server objects of version 3, scheme, host and basePath of version 2."""

import re
from urllib.parse import urljoin, urlsplit

from connectors.authoring.documents import BadDocument
from connectors.authoring.openapi.document import Document
from connectors.authoring.sketch import Sketch, literally


class Servers:
    def __init__(self, doc: Document, out: Sketch, url: str):
        self.doc, self.out, self.url = doc, out, url

    def base_url(self, entered: str) -> str:
        """The address, or what was entered in its place. Raises BadDocument."""
        found = entered or (self._server_of_2() if self.doc.is_2 else self._server_of_3())
        try:
            found = urljoin(self.url, found) if self.url and not re.match(r"https?://", found) else found
            urlsplit(found)
        except ValueError as error:
            raise BadDocument(
                f"The document says that the API is at {found[:100]}, which is no address. Enter the API's "
                "address."
            ) from error
        if found.startswith("http://"):
            raise BadDocument(
                f"The API is reached at {found[:100]}, without TLS. A credential is never sent there: enter "
                "an https address of the API."
            )
        if not found.startswith("https://"):
            raise BadDocument("The document does not say where the API is. Enter the API's address.")
        return found.rstrip("/")

    def _server_of_2(self) -> str:
        host = self.doc.text(self.doc.content.get("host"))
        schemes = self.doc.list(self.doc.content.get("schemes")) or ["https"]
        scheme = "https" if "https" in schemes else "http"
        path = self.doc.text(self.doc.content.get("basePath"))
        return f"{scheme}://{host}{path}" if host else path

    def _server_of_3(self) -> str:
        servers = [self.doc.mapping(server) for server in self.doc.list(self.doc.content.get("servers"))]
        servers = [server for server in servers if self._url(server)]
        if not servers:
            return ""
        server = next((s for s in servers if not self._url(s).startswith("http://")), servers[0])
        variables = self.doc.mapping(server.get("variables"))
        return re.sub(
            r"\{([^{}]+)\}",
            lambda found: self._variable(found[1], variables),
            literally(self._url(server)),
        )

    def _url(self, server: dict) -> str:
        return self.doc.text(server.get("url"))

    def _variable(self, name: str, variables: dict) -> str:
        found = self.doc.mapping(variables.get(name))
        values = [text for text in map(self.doc.text, self.doc.list(found.get("enum"))) if text]
        default = self.doc.text(found.get("default"))
        label = name.replace("_", " ").replace("-", " ").capitalize()
        if len(values) == 1:
            return literally(values[0])
        if values:
            choices = [{"value": value, "label": value} for value in values]
            options = {"type": "choice", "choices": choices} | (
                {"default": default} if default in values else {}
            )
        elif re.fullmatch(r"v?\d[\w.]*|[\w/-]*/[\w/-]*", default):
            return literally(default)
        else:
            message = "Letters, digits, dots and hyphens only."
            options = {"pattern": r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", "pattern_message": message}
        return f"${{{self.out.place(name, label, **options)}}}"
