"""Create a botocore session for each client."""

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


@cache  # Creating a client takes 70 to 180 ms, and 90 % of it is loading the models.
def _model_loader(data_path: str | None) -> Loader:
    """Load botocore's API models once per process."""
    return create_loader(data_path)
