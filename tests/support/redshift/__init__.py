"""A stand-in for Amazon Redshift: see :class:`RedshiftServer`."""

from tests.support.redshift.copy import S3Access
from tests.support.redshift.faults import Fault
from tests.support.redshift.server import RedshiftServer

__all__ = ["Fault", "RedshiftServer", "S3Access"]
