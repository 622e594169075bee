"""From an OpenAPI document (2.0, 3.0, 3.1) to a connector to begin with.

https://spec.openapis.org/oas/v3.1.1.html (security scheme, server and operation objects) and
https://swagger.io/specification/v2/. Nothing but `#/…` is followed: what a document says of other
documents is named in the notes, and fetched by nobody.
"""

import re

from connectors.authoring.documents import BadDocument
from connectors.authoring.openapi.calls import Calls
from connectors.authoring.openapi.document import Document
from connectors.authoring.openapi.security import Security
from connectors.authoring.openapi.servers import Servers
from connectors.authoring.sketch import Sketch


def read(content: dict, *, url: str = "", base_url: str = "") -> Sketch:
    """`url` is where the document was read, `base_url` where the API begins if the document does not say.

    Raises BadDocument.
    """
    doc = Document(content)
    if not re.fullmatch(r"2\.0|3\.\d+(\.\d+)?", doc.version):
        said = (
            f"says {doc.version[:20]!r}" if doc.version else "has neither “openapi” nor “swagger” at its top"
        )
        raise BadDocument(
            f"This is no OpenAPI document that can be read: it {said}. Versions 2.0 to 3.1 are."
        )
    info = doc.mapping(content.get("info"))
    # Short before it is looked at: what looks for its end begins at each space anew.
    title = " ".join(doc.text(info.get("title"))[:200].split()) or "New connector"
    out = Sketch(name=re.sub(r"\s+(rest\s+)?api$", "", title, flags=re.IGNORECASE)[:60] or title[:60])
    out.summary = doc.text(info.get("description")).split("\n")[0].split(". ")[0][:200]
    out.base_url = Servers(doc, out, url).base_url(base_url)
    documentation = doc.mapping(content.get("externalDocs")).get("url")
    out.source = [page for page in (doc.page(documentation), doc.page(url)) if page][:1]
    out.website = doc.page(doc.mapping(info.get("contact")).get("url")).partition("?")[0]
    Security(doc, out).add()
    if not out.methods:
        out.none()
        doc.note("The document names no way to authenticate that can be used.")
    Calls(doc, out).add()
    out.notes = ["Made from an OpenAPI document: look at each line before you publish it.", *doc.notes]
    return out
