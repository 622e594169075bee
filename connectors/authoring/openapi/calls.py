"""Which call proves a credential, and where its answer says whose it is."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from connectors.authoring.openapi.document import Document
from connectors.authoring.sketch import Sketch, literally, name_for

AT_MOST_PATHS, AT_MOST_PARAMETERS, AT_MOST_PLACES = 5000, 50, 1000
# Names of calls that tell who asks, the best first.
_WHO = re.findall(
    r"\w+",
    "whoami me self tokeninfo current_user currentuser current profile account user company organization "
    "organisation workspace team store shop accounts users ping",
)
_ACCOUNT_IDS = re.findall(
    r"\w+",
    "account_id accountId company_id companyId organization_id organizationId org_id workspace_id team_id "
    "tenant_id store_id shop_id id uuid guid sub user_id userId",
)
_ACCOUNT_NAMES = re.findall(
    r"\w+", "account_name accountName company_name companyName company organization_name name title"
)
_USER_NAMES = re.findall(r"\w+", "email username userName user_name login full_name fullName name")


class Calls:
    def __init__(self, doc: Document, out: Sketch):
        self.doc, self.out = doc, out

    def add(self) -> None:
        """Put the likeliest call into the sketch, the others into its notes."""
        ranked = sorted(self._calls(), key=lambda call: call[0])
        if not ranked:
            self.out.verification = {"url": self.out.base_url}
            self.out.unverified.append(
                "Which call proves a credential; the address of the API stands in its place."
            )
            return
        rank, path, operation = ranked[0]
        url = self.out.base_url + literally(path)
        self.out.verification = {"url": url, **self._answer(operation)}
        if rank >= len(_WHO):
            self.out.unverified.append(
                f"That GET {path} proves a credential, and whose it is: it was chosen by its form."
            )
        if others := [f"GET {other}" for _, other, _ in ranked[1:6]]:
            self.doc.note(f"Other calls that may prove a credential: {', '.join(others)}")

    def _calls(self) -> Iterator[tuple[float, str, dict]]:
        """(rank, path, operation) of each GET that needs no parameter; a low rank says who asks."""
        paths = self.doc.mapping(self.doc.content.get("paths"))
        for path, item in list(paths.items())[:AT_MOST_PATHS]:
            if not isinstance(path, str) or "{" in path or not re.fullmatch(r"/[A-Za-z0-9._~/:-]*", path):
                continue
            item = self.doc.mapping(item)
            operation = self.doc.mapping(item.get("get"))
            parameters = [*self.doc.list(item.get("parameters")), *self.doc.list(operation.get("parameters"))]
            # One list that many calls refer to is read as often; a call with so many is not the one.
            if not operation or len(parameters) > AT_MOST_PARAMETERS:
                continue
            if any(self.doc.mapping(parameter).get("required") for parameter in parameters):
                continue
            if operation.get("security") == []:
                # It needs no credential, and so proves none.
                continue
            last = name_for(path.rstrip("/").rpartition("/")[2])
            called = [last, *name_for(self.doc.text(operation.get("operationId"))).split("_")[1:]]
            ranks = [_WHO.index(word) for word in called if word in _WHO]
            yield min(ranks, default=len(_WHO)) + path.count("/") / 100, path, operation

    def _answer(self, operation: dict) -> dict[str, Any]:
        """Where the answer's schema says who it is."""
        responses = self.doc.mapping(operation.get("responses"))
        response = self.doc.mapping(responses.get("200") or responses.get(200) or responses.get("default"))
        schema = response.get("schema")
        if not self.doc.is_2:
            content = self.doc.mapping(response.get("content"))
            schema = self.doc.mapping(
                content.get("application/json") or next(iter(content.values()), {})
            ).get("schema")
        found = list(islice(self._places(schema), AT_MOST_PLACES))
        places = {path.rpartition(".")[2]: path for path in reversed(found)}
        first = {path: path for path in found if "." not in path}
        known = {**places, **first}
        found = {
            "account_id": next((known[name] for name in _ACCOUNT_IDS if name in known), ""),
            "account_name": [known[name] for name in _ACCOUNT_NAMES if name in known][:1],
            "user_name": [known[name] for name in _USER_NAMES if name in known][:1],
        }
        return {name: value for name, value in found.items() if value}

    def _places(self, schema: Any, before: str = "", depth: int = 0) -> Iterator[str]:
        """The dotted places of an answer, two deep."""
        schema = self.doc.mapping(schema)
        for part in self.doc.list(schema.get("allOf"))[:10]:
            if depth < 2:
                yield from self._places(part, before, depth + 1)
        for name, inner in list(self.doc.mapping(schema.get("properties")).items())[:200]:
            if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
                continue
            yield before + name
            if not before:
                yield from self._places(inner, f"{name}.", depth + 1)
