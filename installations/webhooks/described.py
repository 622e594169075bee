"""What the partner's software is told, as the API's document describes it: `webhooks` of OpenAPI 3.1."""

from typing import Any

from installations.webhooks.types import TOLD

_AT = "2027-01-31T12:00:00.000Z"
_HEADERS = {
    "webhook-id": "The same at each try, so that what comes twice is known.",
    "webhook-timestamp": "When this try was made, in Unix seconds. It is signed.",
    "webhook-signature": "One signature or several, with spaces between: v1,<base64>.",
}


def webhooks() -> dict[str, Any]:
    """By type: the POST that an endpoint takes."""
    return {
        type: {
            "post": {
                "summary": told.what,
                "tags": ["Webhooks"],
                "security": [],
                "parameters": [
                    {
                        "in": "header",
                        "name": name,
                        "required": True,
                        "description": text,
                        "schema": {"type": "string"},
                    }
                    for name, text in _HEADERS.items()
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": _schema(type), "example": example(type)}},
                },
                "responses": {
                    "2XX": {
                        "description": "It is taken. Anything else, or nothing in 15 seconds, is tried again."
                    },
                    "410": {"description": "Nothing is wanted any more: the endpoint is switched off."},
                },
            }
        }
        for type, told in TOLD.items()
    }


def _schema(type: str) -> dict[str, Any]:
    data = TOLD[type].data.model_json_schema()
    return {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": type},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "data": data,
        },
    }


def example(type: str) -> dict[str, Any]:
    """A payload of this type, of those members that are always there and those that its example names."""
    told = TOLD[type]
    data = {
        name: told.example.get(name, field.examples[0])
        for name, field in told.data.model_fields.items()
        if field.is_required() or name in told.example
    }
    return {"type": type, "timestamp": _AT, "data": data}
