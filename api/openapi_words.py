"""What /openapi.json says beyond the routes' signatures: how each may refuse, and the names that keys are made of.

A route's decorator adds what its signature does not tell: `responses={404: {}}` for an object that its body names,
`responses=or_again(Job)` for what is answered with 200 when it is there already.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from api.access.auth import SCHEMES, schemes_of
from api.access.permissions import COARSE, PERMISSIONS, SCOPES, SETS
from api.openapi_examples import add_examples
from tuneyard.shapes import Problem

REFUSALS = {
    400: "The request lacks what it is about.",
    401: "No key or token, or one that is refused.",
    403: "Not permitted.",
    404: "Not there, or another workspace's.",
    409: "What is recorded already is against it.",
    413: "Larger than is taken.",
    416: "No such part: `Content-Range` says how much there is.",
    422: "Not in the form that is described here; `errors` names each field.",
    425: "Not ready yet: ask again.",
    429: "Too many requests: `Retry-After` says when to come again.",
    502: "Prefect, which runs the work, does not answer.",
    503: "The database is locked or away: come again.",
    507: "The API's host has no room left for it.",
}
SCHEMAS = "#/components/schemas/"
SUMMARY = "Fine-tune, batch-test and watch language models. Send a key as `X-API-Key`."
TAGS = {
    "ml": "Ask for work: a fine-tune, a merge, a batch test, or all of them with a promotion at the end.",
    "jobs": "What is run: its state, what happened to it, what it says; pause, resume, cancel.",
    "metrics": "What a run reports by step, in and out.",
    "batch tests": "Answers and scores; which of two models is better.",
    "test suites": "Prompts and what is expected of them, by version.",
    "datasets": "Rows to train on, by version.",
    "artifacts": "Models and what else jobs made, with what they were made from.",
    "aliases": "Names that stand for models, and move on evidence.",
    "configs": "Configs that are kept, to be used again.",
    "gpus": "Hosts and their cards.",
    "keys": "API keys.",
    "people": "Log-ins, people and what they may do.",
    "audit": "Who did what.",
    "system": "Whether it is well, and what it counts.",
}
# For a route whose signature takes any body, or none, so that it can refuse with 400 in words of its own.
OWN_WORDS: dict[str, Any] = {"responses": {400: {}}, "openapi_extra": {"requestBody": {"required": True}}}


def or_again(shape: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: asked again for the same, it answers the one that is there."""
    return {200: {"model": shape, "description": "The one that is there already."}}


def describe(app: FastAPI) -> None:
    """Make the app's description ours; it is written when it is first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _description(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _description(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, summary=SUMMARY)
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    components = document["components"]
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; ours are problems
        schemas.pop(name, None)
    problem = Problem.model_json_schema(mode="serialization", ref_template=SCHEMAS + "{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    components["securitySchemes"] = SCHEMES
    _add_security(app, document["paths"])
    components["responses"] = {f"Problem{status}": _refusal(text) for status, text in REFUSALS.items()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_refusals(path, method, operation)
            _leave_null_out(operation)
            operation["summary"] = operation["summary"].capitalize()
    _name_permissions(schemas)
    _join_config_fields(schemas["FinetuneConfig"])
    _join_config_fields(schemas["FinetuneFields"])
    add_examples(schemas)
    return document


def _add_security(app: FastAPI, paths: dict[str, Any]) -> None:
    for route in iter_route_contexts(app.routes):
        if not isinstance(route.original_route, APIRoute) or not route.include_in_schema:
            continue
        if schemes := schemes_of(route.dependant):
            for method in route.methods or ():
                paths[str(route.path_format)][method.lower()]["security"] = [{name: []} for name in schemes]


def _refusal(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": SCHEMAS + "Problem"}}}
    return {"description": description, "content": content}


def _add_refusals(path: str, method: str, operation: dict[str, Any]) -> None:
    """What the route names without saying more, and what its form implies."""
    answers = operation["responses"]
    named = {int(status) for status, answer in answers.items() if status >= "4" and "content" not in answer}
    implied = {503}
    if "security" in operation:
        implied |= {401, 403, 429}
    if "{" in path:
        implied.add(404)
    if method != "get":
        implied.add(409)
    implied -= {int(status) for status in answers}
    if "parameters" in operation or "requestBody" in operation:
        implied.add(422)
    for status in sorted(named | implied):
        answers[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}


def _leave_null_out(operation: dict[str, Any]) -> None:
    """A query parameter may be left out, but has no way to say null."""
    for parameter in operation.get("parameters", ()):
        forms = [form for form in parameter["schema"].pop("anyOf", ()) if form != {"type": "null"}]
        parameter["schema"] |= forms[0] if len(forms) == 1 else {"anyOf": forms} if forms else {}


def _name_permissions(schemas: dict[str, Any]) -> None:
    """The names that the making of a key knows, and which of them it needs."""
    for name in ("NewApiKey", "KeyChanges"):
        fields = schemas[name]["properties"]
        _form_of(fields["permission_set"])["enum"] = list(SETS)
        _form_of(fields["permissions"])["items"] = {"enum": [*PERMISSIONS, *COARSE]}
        _form_of(fields["scopes"])["items"] = {"enum": list(SCOPES)}
        schemas[name] |= {"if": _holding("permissions", "keys:own"), "then": {"anyOf": _making_keys()}}
    one_or_more = {"type": "array", "minItems": 1}
    schemas["NewApiKey"]["anyOf"] = [
        {"required": ["permission_set"], "properties": {"permission_set": {"type": "string"}}},
        {"required": ["permissions"], "properties": {"permissions": one_or_more}},
        {"required": ["scopes"], "properties": {"scopes": one_or_more}},
    ]


def _join_config_fields(config: dict[str, Any]) -> None:
    """What `FinetuneConfig` refuses of two fields together. (Its own schema leaves it out: Prefect would show it as
    a form, and refuse in the words of JSON Schema.)"""
    rows, part = {"eval_dataset": {"type": "string"}}, {"eval_fraction": {"exclusiveMinimum": 0}}
    twice = {"required": ["eval_dataset", "eval_fraction"], "properties": rows | part}
    split = {"required": ["long_rows"], "properties": {"long_rows": {"const": "split"}}}
    text = {"properties": {"format": {"enum": ["auto", "text"]}}}
    config["allOf"] = [{"not": twice}, {"if": split, "then": text}]


def _form_of(field: dict[str, Any]) -> dict[str, Any]:
    """A field's form beside null."""
    form: dict[str, Any] = next(form for form in field["anyOf"] if form != {"type": "null"})
    return form


def _making_keys() -> list[dict[str, Any]]:
    """Only an admin's key makes keys: what else makes `keys:own` one that may."""
    with_it = [name for name, members in COARSE.items() if "keys:write" in members]
    scopes = [name for name, permissions in SCOPES.items() if "keys:write" in permissions]
    return [
        {"required": ["permission_set"], "properties": {"permission_set": {"type": "string"}}},
        *(_holding("permissions", name) for name in ("keys:write", *with_it)),
        *(_holding("scopes", name) for name in scopes),
    ]


def _holding(field: str, name: str) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"type": "array", "contains": {"const": name}}}}
