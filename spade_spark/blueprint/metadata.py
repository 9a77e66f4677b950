"""What Blueprint knows of events beside their tables: the type of edge that each should come from.

The form is that of its ``/allmetadata``: ``{"Metadata": {"<event>": {"edge_type":
{"MetadataValue": "internal", …}, …}}}``; names of members match in any case, those of events and
of kinds of metadata exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from spade_spark.errors import InputError

_EDGE_TYPE = "edge_type"


def read_edge_types(raw: bytes, source: str = "the event metadata") -> Mapping[str, str]:
    """The edge type that is expected of each event; events of which none is are left out.

    Args:
        raw: The metadata, not compressed.
        source: Where they came from, for the error.

    Raises:
        InputError: They are no event metadata.
    """
    try:
        events = _member(json.loads(raw), "metadata")
        assert isinstance(events, dict)
        kinds = {event: (kinds or {}).get(_EDGE_TYPE) for event, kinds in events.items()}
        expected = {event: _member(row, "metadatavalue") for event, row in kinds.items() if row}
        assert all(isinstance(each, str | None) for each in expected.values())
    except (ValueError, RecursionError, AttributeError, AssertionError):
        raise InputError(
            f"{source} is no event metadata as Blueprint publishes them, "
            '{"Metadata": {event: {"edge_type": {"MetadataValue": "internal"}}}}: '
            "see blueprint.metadata in the settings"
        ) from None
    return {event: str(each) for event, each in expected.items() if each}


def _member(members: Mapping[str, object], name: str) -> object:
    """The member of this name in lower case, whatever its own case; None where there is none."""
    return {each.lower(): value for each, value in members.items()}.get(name)
