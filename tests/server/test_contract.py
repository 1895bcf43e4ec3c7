"""The OpenAPI document is kept: schemathesis asks every operation what it allows and what it does not, of a live server.

Whatever is asked, nothing is answered with a 5xx; statuses, types and bodies are those of the document, and what that does
not allow is refused.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, assume, given, settings

from vicino.server.app import ROUTES, Route

if importlib.util.find_spec("schemathesis") is None:
    ABSENT = "schemathesis is not installed: pip install 'vicino[dev]'"
    pytest.fail(ABSENT) if os.environ.get("CI") else pytest.skip(ABSENT, allow_module_level=True)

import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

load_all_checks()

# What a filter, a recipe or the name of a model may be is more than a schema can say: such a body is "valid" there, and refused.
NOT_ASKED = [CHECKS.get_one("positive_data_acceptance")]
EXAMPLES = 12  # of each operation
ADDRESS = 20_000  # characters of a query, each of which may take twelve: the server hangs up on addresses over 256 KiB
# Of these nothing can be asked that the document does not allow: they take nothing, or any text.
ANYTHING = ("/health", "/ready", "/metrics", "/v1/models", "/v1/models/{name:path}", "/api/studies", "/api/studies/{id}")
ASKED = [
    (route, mode) for route in ROUTES for mode in GenerationMode if mode is GenerationMode.POSITIVE or route.path not in ANYTHING
]
TAKING = {"collection": "notes", "model": "tiny"}


@pytest.fixture(scope="module")
def api(client) -> Any:
    """The document of a live server: half of the requests ask for what is there."""
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")

    @schema.hook
    def map_case(context: Any, case: Any) -> Any:
        if crc32(repr(case.body).encode(errors="replace")) % 2:  # not hash(): that of another process is another
            return case
        if isinstance(case.body, dict):
            case.body |= {name: value for name, value in TAKING.items() if name in case.body}
        if isinstance(case.path_parameters, dict) and case.path_parameters.get("name") is not None:
            case.path_parameters["name"] = "notes"
        return case

    return schema


@pytest.mark.long
@pytest.mark.parametrize(("route", "mode"), ASKED, ids=[f"{route.method} {route.path} {mode.name}" for route, mode in ASKED])
def test_no_operation_breaks_its_contract(api: Any, route: Route, mode: GenerationMode) -> None:
    cases = api[route.path.replace(":path", "")][route.method].as_strategy(generation_mode=mode)

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def ask(case: Any) -> None:
        assume(len(repr(case.query)) < ADDRESS)
        case.call_and_validate(excluded_checks=NOT_ASKED)

    ask()


@pytest.fixture
def operations(client) -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = client.get("/openapi.json").json()
    return [(path, method, told) for path, each in document["paths"].items() for method, told in each.items()]


def test_every_operation_says_what_it_is_for_and_what_it_answers(operations):
    assert {(path.replace(":path", ""), method.upper()) for path, method, _ in operations} == {
        (route.path.replace(":path", ""), route.method) for route in ROUTES
    }
    names = [told["operationId"] for _, _, told in operations]
    assert len(set(names)) == len(names)
    for path, method, told in operations:
        assert told["summary"], path
        assert told["responses"].keys() >= {"4XX", "5XX"}, path
        good = [told["responses"][status] for status in told["responses"] if status.startswith("2")]
        assert good, path
        assert all(answer["content"] for answer in good), (path, method)


def test_every_body_has_an_example_that_the_document_allows(operations, client):
    document = client.get("/openapi.json").json()
    bodies = [told["requestBody"]["content"]["application/json"]["schema"] for _, _, told in operations if "requestBody" in told]
    assert len(bodies) > 8
    for body in bodies:
        shape = document["components"]["schemas"][body["$ref"].rpartition("/")[2]] if "$ref" in body else body
        whole = shape.get("examples") or shape.get("example")
        fields = shape.get("properties", {})
        assert whole or all("examples" in fields[name] or "items" in fields[name] for name in shape.get("required", [])), shape
