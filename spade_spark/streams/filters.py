"""Filters: which rows a stream gets.

The built-in filters are those of the live processor. The settings can add filters and override
built-in ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from spade_spark.settings import FilterCondition, StreamSettings
from spade_spark.streams.config import Condition, EventRule

IN_SET: Final = "in_set"
NOT_IN_SET: Final = "not_in_set"
OPERATORS: Final = (IN_SET, NOT_IN_SET)

PARAMETERIZED: Final = "isOneOf"
"""The filter whose conditions are in the rule's ``FilterParameters``."""

Filter = Callable[[Mapping[str, str]], bool]
"""Whether a row passes, given its values by outbound name. A missing value is the empty string."""


def _condition(field: str, operator: str, *values: str) -> FilterCondition:
    return FilterCondition.model_validate({"field": field, "operator": operator, "values": values})


BUILT_IN_FILTERS: Final[Mapping[str, tuple[FilterCondition, ...]]] = MappingProxyType(
    {
        "isAGSEvent": (
            _condition(
                "adg_product_id",
                IN_SET,
                "600505cc-de2f-4b99-9960-c47ee5d23f04",
                "9233cb11-d375-4dd1-bd5e-b6d328fd5403",
            ),
        ),
        "isChannelIDSet": (_condition("channel_id", NOT_IN_SET, ""),),
        "isUserIDSet": (_condition("user_id", NOT_IN_SET, ""),),
        "isVod": (
            _condition("vod_id", NOT_IN_SET, ""),
            _condition("vod_type", NOT_IN_SET, "clip"),
        ),
        "isLiveClipContent": (_condition("source_content_type", IN_SET, "live"),),
        "isTwilightApp": (_condition("client_app", IN_SET, "twilight"),),
    }
)


def filter_exists(name: str, settings: StreamSettings) -> bool:
    """Whether a filter of this name is built in or defined in the settings."""
    return name == PARAMETERIZED or name in settings.filters or name in BUILT_IN_FILTERS


def combined_filter(rule: EventRule, settings: StreamSettings) -> Filter:
    """Combine the rule's own filter with the default filter, unless the rule skips the default.

    Filter parameters have no effect without the filter ``isOneOf``, as in the live processor.
    """
    conditions: list[Condition | FilterCondition] = []
    if not rule.skip_default_filter:
        conditions += settings.default_filter
    if rule.filter == PARAMETERIZED:
        conditions += rule.filter_parameters
    elif rule.filter:
        conditions += settings.filters.get(rule.filter) or BUILT_IN_FILTERS[rule.filter]
    checks = [
        (condition.field, frozenset(condition.values), condition.operator == IN_SET)
        for condition in conditions
    ]

    def passes(record: Mapping[str, str]) -> bool:
        return all(
            (record.get(field, "") in values) is expected for field, values, expected in checks
        )

    return passes
