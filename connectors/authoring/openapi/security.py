"""The ways to authenticate: security schemes, and which of them are needed together."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit, urlunsplit

from connectors.authoring.openapi.document import Document
from connectors.authoring.sketch import Sketch, literally

AT_MOST_SCHEMES, FEW_SCOPES = 8, 6


class Security:
    def __init__(self, doc: Document, out: Sketch):
        self.doc, self.out = doc, out

    def add(self) -> None:
        """Put each way that can be used into the sketch."""
        where = self.doc.content.get("securityDefinitions")
        if not self.doc.is_2:
            where = self.doc.mapping(self.doc.content.get("components")).get("securitySchemes")
        schemes = {
            key: self.doc.mapping(scheme)
            for key, scheme in self.doc.mapping(where).items()
            if isinstance(key, str)
        }
        wanted = list(self._together(schemes)) or [(key,) for key in schemes]
        for keys in wanted[:AT_MOST_SCHEMES]:
            if len(keys) == 1:
                self._scheme(keys[0], schemes[keys[0]])
            elif all(schemes[key].get("type") == "apiKey" for key in keys):
                self._keys(*(schemes[key] for key in keys))
            else:
                self.doc.note(f"{' and '.join(keys)} are needed together; only each alone was taken over.")
                for key in keys:
                    self._scheme(key, schemes[key])

    def _together(self, schemes: dict) -> Iterator[tuple[str, ...]]:
        """What the document as a whole asks for: alternatives of schemes that are needed together."""
        seen = set()
        for alternative in self.doc.list(self.doc.content.get("security")):
            keys = tuple(key for key in self.doc.mapping(alternative) if key in schemes)
            if keys and keys not in seen:
                seen.add(keys)
                yield keys

    def _scheme(self, key: str, scheme: dict) -> None:
        kind, http_scheme = scheme.get("type"), self.doc.text(scheme.get("scheme")).lower()
        if kind == "apiKey":
            self._keys(scheme)
        elif kind == "basic" or (kind == "http" and http_scheme == "basic"):
            if not any(method["type"] == "http_basic" for method in self.out.methods):
                self.out.http_basic()
        elif kind == "http" and http_scheme == "bearer":
            self.out.api_key(("headers", "Authorization", "Bearer "), label="Access token")
        elif kind == "oauth2":
            self._oauth2(scheme)
        elif kind == "openIdConnect":
            metadata = self.doc.text(scheme.get("openIdConnectUrl"))
            self.doc.note(f"{key} is OpenID Connect: begin from its metadata, {metadata}")
        else:
            said = f"{self.doc.text(kind)} {http_scheme}".strip()
            self.doc.note(
                f"{key} is a way to authenticate that was not taken over ({said or 'it names no type'})."
            )

    def _keys(self, *schemes: dict) -> None:
        places = []
        for scheme in schemes:
            where, name = self.doc.text(scheme.get("in")), self.doc.text(scheme.get("name"))
            if where not in ("header", "query") or not re.fullmatch(
                r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name
            ):
                place = f"{where} {name[:50]}".strip() or "a place that is not named"
                self.doc.note(f"A key in {place} was not taken over: headers and the query are known.")
                return
            before = "Bearer " if name.lower() == "authorization" else ""
            if before:
                self.doc.note(
                    "What stands before the key in Authorization was not said; “Bearer ” was assumed."
                )
            places.append(("headers" if where == "header" else "query", name, before))
        self.out.api_key(*places)

    def _oauth2(self, scheme: dict) -> None:
        flows = self.doc.mapping(scheme.get("flows"))
        if self.doc.is_2:
            names = {"accessCode": "authorizationCode", "application": "clientCredentials"}
            flow = self.doc.text(scheme.get("flow"))
            flows = {names.get(flow, flow): scheme}
        if flows.keys() == {"implicit"}:
            self.doc.note(
                "The implicit flow sends tokens through the browser and is not used; look for another one."
            )
        for kind, add in (
            ("authorizationCode", self.out.authorization_code),
            ("clientCredentials", self.out.client_credentials),
            ("password", self.out.password),
        ):
            flow = self.doc.mapping(flows.get(kind))
            token_endpoint, _ = self._endpoint(flow.get("tokenUrl"))
            if not token_endpoint:
                continue
            options: dict[str, Any] = {"token_endpoint": token_endpoint, **self._scopes(flow)}
            if kind == "authorizationCode":
                endpoint, params = self._endpoint(flow.get("authorizationUrl"))
                if not endpoint:
                    self.doc.note("An OAuth flow without an authorizationUrl of https was not taken over.")
                    continue
                options |= {"authorization_endpoint": endpoint, "authorization_params": params}
            add(**options)

    def _endpoint(self, value: Any) -> tuple[str, dict[str, str]]:
        """An address without its query, and the query; "" for none of https."""
        text = literally(self.doc.text(value))
        try:
            parts = urlsplit(urljoin(self.out.base_url + "/", text)) if text else None
        except ValueError:
            # A bracket that begins no address of IPv6.
            parts = None
        if parts is None or parts.scheme != "https" or "@" in parts.netloc:
            return "", {}
        params = dict(parse_qsl(parts.query))
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), params

    def _scopes(self, flow: dict) -> dict[str, Any]:
        scopes = {
            self.doc.text(key): self.doc.text(text)[:200]
            for key, text in self.doc.mapping(flow.get("scopes")).items()
        }
        scopes = {
            key: text for key, text in scopes.items() if re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", key)
        }
        if len(scopes) > FEW_SCOPES:
            self.doc.note(f"Choose the scopes that you need for default_scopes: {', '.join(scopes)[:1500]}")
            return {}
        return {
            "default_scopes": [literally(scope) for scope in scopes],
            "scope_labels": {key: text for key, text in scopes.items() if text},
        }
