"""Every error that this package raises on purpose, told apart by who can mend it.

::

    SpadeError
    ├── UsageError       the command line is wrong: nothing was begun (exit status 2)
    │   └── Locked           another replay is at work on the same run tag or rows
    ├── SettingsError    a settings file, variable or named file is wrong
    ├── InputError       the logs, the schemas or the run's own files are wrong
    │   ├── ObjectNotFoundError    a key or bucket that is not there
    │   ├── ObjectChangedError    an object is not the one that was planned
    │   └── CorruptObjectError    an object of the logs is no whole gzip file
    ├── WarehouseError   the warehouse refused, for good
    │   ├── CopyError       COPY refused values; carries the load errors it recorded
    │   ├── GuardError      the new rows are too few to replace the old ones
    │   ├── AlreadyLoadedError    the run tag was loaded before, otherwise or no longer
    │   └── AlreadyUndoneError    the load that is to be undone was undone before
    ├── TransientError     tried again with back-off before it is shown
    │   ├── Conflict         serialization conflict (1023, SQLSTATE 40001)
    │   ├── ConnectionLostError   the connection broke while nothing was being committed
    │   └── LookupUnavailableError       a service that columns ask does not answer
    ├── LockLostError         somebody took this replay's place; it stopped before its load
    ├── CommitOutcomeUnknownError    a commit was sent and its answer was lost; look before retrying
    └── Bug              this program broke its own promise (a ledger that does not balance)

An error's message is whole in itself: what happened, to which object or table, and what to do
next. It never has a secret in it. All of them survive pickling, since tasks raise them on
executors and the driver shows them.
"""

from __future__ import annotations


class SpadeError(Exception):
    """The root. ``exit_status`` is what the process ends with when nothing handles the error."""

    exit_status = 1


class UsageError(SpadeError):
    """The command line cannot be carried out as written; nothing was begun."""

    exit_status = 2


class LockedError(UsageError):
    """Another replay holds the run tag, or tables and window in common; nothing was begun."""


class SettingsError(SpadeError):
    """A setting, or a file that a setting names, is wrong."""


class InputError(SpadeError):
    """Logs, schemas or the run's own files are not what they should be."""


class ObjectNotFoundError(InputError):
    """A key or a bucket is not there."""


class ObjectChangedError(InputError):
    """An object is no longer the one that the plan or the manifest pinned."""


class CorruptObjectError(InputError):
    """An object of the edge logs is no whole gzip file; its whole lines were read."""


class WarehouseError(SpadeError):
    """The warehouse refused, and would refuse again."""


class CopyError(WarehouseError):
    """COPY refused values; the message shows file, line, column, raw value and reason."""


class GuardError(WarehouseError):
    """The new rows are none, or too few, to replace the old ones unasked."""


class AlreadyLoadedError(WarehouseError):
    """The replay ledger has the run tag for the table, but that load does not stand any more."""


class AlreadyUndoneError(WarehouseError):
    """The replay ledger says that this load was undone, and nothing has undone that."""


class TransientError(SpadeError):
    """A fault that may be gone at the next try."""


class SerializationError(TransientError):
    """Another transaction won (Redshift's 1023, SQLSTATE 40001); nothing was changed."""


class ConnectionLostError(TransientError):
    """The connection broke before anything was committed; nothing was changed."""


class LookupUnavailableError(TransientError):
    """A service that columns ask does not answer."""


class LockLostError(SpadeError):
    """Somebody took over the lock of a replay that runs; it loads nothing more."""


class CommitOutcomeUnknownError(SpadeError):
    """A commit was sent and its answer was lost: done or not, only the ledger row can tell."""


class InternalError(SpadeError):
    """This program broke a promise of its own; nothing was loaded on the strength of it."""
