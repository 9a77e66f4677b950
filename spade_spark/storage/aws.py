"""Sessions of botocore, one for each client."""

from __future__ import annotations

from functools import cache

import botocore.session
from botocore.loaders import Loader, create_loader


def new_session() -> botocore.session.Session:
    """Create a session; boto3's shared default session is not thread-safe."""
    session = botocore.session.get_session()
    session.register_component(
        "data_loader", _model_loader(session.get_config_variable("data_path"))
    )
    return session


@cache  # Loading the models is 90 % of the cost of a client: 60 to 170 of 70 to 180 ms.
def _model_loader(data_path: str | None) -> Loader:
    """Load botocore's API models once per process."""
    return create_loader(data_path)
