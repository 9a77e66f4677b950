"""Reads the expected edge type of each event from Blueprint's event metadata.

The format is that of ``/allmetadata``: ``{"Metadata": {"<event>": {"edge_type": {"MetadataValue":
"internal", …}, …}}}``. Member names are case-insensitive; event names and metadata types are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from spade_spark.errors import InputError

_EDGE_TYPE = "edge_type"


def read_edge_types(raw: bytes, source: str = "the event metadata") -> Mapping[str, str]:
    """Return the expected edge type by event; events without one are left out.

    Args:
        raw: The uncompressed metadata.
        source: The origin, for error messages.

    Raises:
        InputError: The data is not event metadata.
    """
    try:
        events = _member(json.loads(raw), "metadata")
        assert isinstance(events, dict)
        entries = {event: (types or {}).get(_EDGE_TYPE) for event, types in events.items()}
        expected = {event: _member(e, "metadatavalue") for event, e in entries.items() if e}
        assert all(isinstance(edge_type, str | None) for edge_type in expected.values())
    except (ValueError, RecursionError, AttributeError, AssertionError):
        raise InputError(
            f"{source} is not event metadata of Blueprint, "
            '{"Metadata": {event: {"edge_type": {"MetadataValue": "internal"}}}}: '
            "check blueprint.metadata in the settings"
        ) from None
    return {event: str(edge_type) for event, edge_type in expected.items() if edge_type}


def _member(members: Mapping[str, object], name: str) -> object:
    """Return the member with a case-insensitive name (``name`` is in lower case), or None."""
    return {key.lower(): value for key, value in members.items()}.get(name)
