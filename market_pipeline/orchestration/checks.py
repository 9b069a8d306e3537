"""How a check is declared here: as Dagster has it, and its outcome is a row of the database too.

Dashboards and alerts read table `check_results`; they cannot see into Dagster's own tables.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg

from market_pipeline.errors import MarketPipelineError
from market_pipeline.orchestration.resources import MarketDatabase

log = logging.getLogger(__name__)

_LONGEST = 500
_ROWS = "| "  # a table in Markdown, as of the worst instruments


def asset_check(
    asset: dg.AssetKey | dg.AssetsDefinition, **options: Any
) -> Callable[[Callable[..., dg.AssetCheckResult]], dg.AssetChecksDefinition]:
    """Declare a check of an asset; the function takes the resource `database`."""
    key = asset if isinstance(asset, dg.AssetKey) else asset.key

    def declare(check: Callable[..., dg.AssetCheckResult]) -> dg.AssetChecksDefinition:
        @functools.wraps(check)
        def recorded(*arguments: Any, **resources: Any) -> dg.AssetCheckResult:
            try:
                result = check(*arguments, **resources)
            except Exception as error:
                _record(resources["database"], key, check.__name__, _not_made(error))
                raise
            _record(resources["database"], key, check.__name__, result)
            return result

        return dg.asset_check(asset=asset, **options)(recorded)

    return declare


def multi_asset_check(
    specs: Sequence[dg.AssetCheckSpec], **options: Any
) -> Callable[[Callable[..., Iterator[dg.AssetCheckResult]]], dg.AssetChecksDefinition]:
    """Declare checks that one function makes, which yields what it finds as it goes."""

    def declare(checks: Callable[..., Iterator[dg.AssetCheckResult]]) -> dg.AssetChecksDefinition:
        @functools.wraps(checks)
        def recorded(*arguments: Any, **resources: Any) -> Iterator[dg.AssetCheckResult]:
            left = {(spec.asset_key, spec.name) for spec in specs}
            try:
                for result in checks(*arguments, **resources):
                    key, name = _identity(result, specs)
                    _record(resources["database"], key, name, result)
                    left.discard((key, name))
                    yield result
            except Exception as error:
                for key, name in left:
                    _record(resources["database"], key, name, _not_made(error))
                raise

        return dg.multi_asset_check(specs=specs, **options)(recorded)

    return declare


def _identity(
    result: dg.AssetCheckResult, specs: Sequence[dg.AssetCheckSpec]
) -> tuple[dg.AssetKey, str]:
    """Return whose check a result is of; one that names no asset has a name that is unique."""
    (spec,) = (
        each
        for each in specs
        if each.name == result.check_name and result.asset_key in (None, each.asset_key)
    )
    return spec.asset_key, spec.name


def _not_made(error: Exception) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description=f"could not be made: {error}")


def _record(
    database: MarketDatabase, key: dg.AssetKey, name: str, result: dg.AssetCheckResult
) -> None:
    try:
        database.open().execute(
            "record_check_result",
            asset=key.to_user_string(),
            name=name,
            passed=result.passed,
            severity=result.severity.value,
            message=_message(result),
        )
    except MarketPipelineError as error:  # what was found is in Dagster nevertheless
        log.warning("the outcome of %s is not recorded: %s", name, error)


def _message(result: dg.AssetCheckResult) -> str:
    """Return what was found in a line: the description, and numbers and words of the metadata."""
    told = [result.description] if result.description else []
    for label, value in (result.metadata or {}).items():
        plain = value.value if isinstance(value, dg.MetadataValue) else value
        if isinstance(plain, list) and plain:
            plain = ", ".join(map(str, plain[:10]))
        if isinstance(plain, str | int | float) and not str(plain).startswith(_ROWS):
            told.append(f"{label}: {plain}")
    return "; ".join(told)[:_LONGEST]
