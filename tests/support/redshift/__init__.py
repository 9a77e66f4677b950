"""A stand-in for Amazon Redshift: see :class:`RedshiftServer`.

What happens to a statement, in :mod:`tests.support.redshift.session`:

1. ``faults``: a test may have it fail, or drop its connection.
2. ``judge``: it is refused unless ``documented`` lists what it uses, and if ``unsupported`` lists a
   clause of it.
3. ``table_access`` and ``transactions``: it waits for locks, or conflicts with another transaction.
4. ``copy`` and ``values`` run a COPY. ``sql`` rewrites the other statements for PostgreSQL, with
   ``distribution`` for the parts of the catalog that PostgreSQL lacks.
5. ``backend`` runs it in PostgreSQL.
"""

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
