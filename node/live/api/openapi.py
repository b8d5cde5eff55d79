"""The API document: OpenAPI 3.1, made of the endpoints and their models.

Models are JSON Schema 2020-12 as pydantic writes it, which is what OpenAPI 3.1 speaks. Every status that an endpoint can
answer stands in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from node.live.api.answers import ApiModel, Problem
from node.live.api.endpoint import BODY_TYPE, REFUSAL_CODES, RETRIED, Endpoint

DESCRIPTION = """\
What a live node of tanglegrid tells and takes. Routes follow IOTA's Hornet (/api/core/v2) and Wasp (/v1) where the thing
is the same. Identifiers are 0x and hexadecimal digits; instants are microseconds since the scenario's epoch; energy is Wh,
prices are micro-pence per Wh, tokens are micro-pence. Bytes within contracts' values are {"hex": "0x..."}.
"""
TAGS = {
    "node": "The node itself",
    "tangle": "Layer 1: blocks, transactions, outputs; answered by layer-1 nodes",
    "chain": "Layer 2: the chains that this node is a member of",
    "market": "The auction contract of a chain, by delivery interval",
    "events": "What happens, as server-sent events; the last event of a stream is `end`, and says why",
    "admin": "For whoever operates the node",
}
_Keyed = tuple[type[ApiModel], JsonSchemaMode]


def api_document(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """The document of these endpoints."""
    models: dict[_Keyed, None] = {(Problem, "serialization"): None}
    for endpoint in endpoints:
        for answer in (endpoint.answer, endpoint.refusal):
            if answer is not None and not isinstance(answer, str):
                models[answer, "serialization"] = None
        if endpoint.body is not None:
            models[endpoint.body, "validation"] = None
    references, definitions = models_json_schema(list(models), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tanglegrid node", "version": version, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, references: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "parameters": [*_parameters(endpoint.places, "path"), *_parameters(endpoint.query, "query")],
        "responses": _responses(endpoint, references),
    }
    if endpoint.body is not None:
        schema = references[endpoint.body, "validation"]
        operation["requestBody"] = {"required": True, "content": {BODY_TYPE: {"schema": schema}}}
    if endpoint.access != "open":
        operation["security"] = [{"token": []}, *([] if endpoint.access == "admin" else [{}])]
    return operation


def _parameters(model: type[ApiModel] | None, place: str) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema(by_alias=True)
    required = schema.get("required", ())
    return [
        {"name": name, "in": place, "required": place == "path" or name in required, "schema": described}
        for name, described in schema["properties"].items()
    ]


def _responses(endpoint: Endpoint, references: Any) -> dict[str, Any]:
    answer = endpoint.answer
    if isinstance(answer, str):
        content = {answer: {"schema": {"type": "object" if answer == BODY_TYPE else "string"}}}
    else:
        content = {BODY_TYPE: {"schema": references[answer, "serialization"]}}
    responses: dict[str, Any] = {str(endpoint.status): {"description": "The answer", "content": content}}
    for status in endpoint.statuses:
        model = endpoint.refusal if status == 408 and endpoint.refusal is not None else Problem
        refusal: dict[str, Any] = {
            "description": REFUSAL_CODES[status],
            "content": {BODY_TYPE: {"schema": references[model, "serialization"]}},
        }
        if status in RETRIED:
            refusal["headers"] = {
                "Retry-After": {"required": True, "schema": {"type": "integer"}, "description": "Seconds"}
            }
        if status == 401:
            refusal["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
        responses[str(status)] = refusal
    return responses
