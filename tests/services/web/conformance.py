"""Whether a server does what its OpenAPI document says, found out by asking it a lot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

EXAMPLES = 8
SENSELESS = [positive_data_acceptance]
"""No schema can say which tasks there are, or what shape the inputs of the model have."""


def assert_conforms(
    url: str, headers: Mapping[str, str], without: Collection[str] = ()
) -> set[str]:
    """Ask for every operation as the document allows, and as it does not; each answer must be of a
    status, a media type and a schema that are documented, and never a fault.

    Args:
        headers: of every request.
        without: paths that are not asked for.

    Returns what was asked for.
    """
    document = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=dict(headers))
    asked = set()
    for found in document.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if operation.path not in without:
            asked.add(operation.label)
            _ask(operation, headers)
    return asked


def _ask(operation: Any, headers: Mapping[str, str]) -> None:
    strategy = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or operation.query or operation.path_parameters:
        strategy |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: Any) -> None:
        case.call_and_validate(headers=dict(headers), excluded_checks=SENSELESS)

    ask()
