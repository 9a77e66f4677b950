"""A stand-in for Amazon Redshift: see :class:`RedshiftServer`."""

from tests.support.redshift.copy import S3Access
from tests.support.redshift.faults import CONFLICTS, Fault
from tests.support.redshift.server import RedshiftServer
from tests.support.redshift.tls import Tls, issue_certificate
from tests.support.redshift.transactions import Isolation

__all__ = [
    "CONFLICTS",
    "Fault",
    "Isolation",
    "RedshiftServer",
    "S3Access",
    "Tls",
    "issue_certificate",
]
