"""Sessions of the AWS client library, one for each client."""

from __future__ import annotations

from functools import cache

import botocore.session
from botocore.loaders import Loader, create_loader


def new_session() -> botocore.session.Session:
    """A session of its own: boto3's default session is shared and not safe among threads."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    return session


@cache  # All but a tenth of what a client costs is reading these: 60 to 170 ms of 70 to 180.
def _models(data_path: str | None) -> Loader:
    """What botocore knows of the services' APIs, read once a process."""
    return create_loader(data_path)
