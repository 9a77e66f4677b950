"""The errors that this package raises, by who can fix them.

::

    SpadeError
    ├── UsageError                   fix the command line; nothing was changed (exit status 2)
    │   └── LockedError              another replay has the run tag or the same rows locked
    ├── SettingsError                fix the settings file, a variable or a file they name
    ├── InputError                   fix the logs, the schemas or the files of a run
    │   ├── ObjectNotFoundError      an object or bucket does not exist
    │   ├── ObjectChangedError       an object is not the planned version
    │   └── CorruptObjectError       an object of the logs is not a complete gzip file
    ├── WarehouseError               fix the warehouse or the rows; a retry cannot succeed
    │   ├── CopyError                COPY rejected values
    │   ├── GuardError               a guard stopped the load, for example too few new rows
    │   ├── AlreadyLoadedError       the run tag was loaded before and is no longer in effect
    │   └── AlreadyUndoneError       the load was undone before
    ├── TransientError               retried with back-off; wait and run the same command again
    │   ├── SerializationError       another transaction won (such as Redshift's 1023)
    │   ├── ConnectionLostError      the connection broke before the commit
    │   └── LookupUnavailableError   a lookup service does not answer
    ├── LockLostError                another process took over the lock; no more tables are changed
    ├── CommitOutcomeUnknownError    a commit was not confirmed; check before a retry
    └── InternalError                a bug in this program, such as audit counts that do not balance

The exit status is 1 unless noted. A message is complete without its context: it says what
happened, to which object or table, and what to do next. It never contains a secret. All errors
can be pickled, because Spark sends them from the executors to the driver.
"""

from __future__ import annotations


class SpadeError(Exception):
    """Base class. ``exit_status`` is the exit status of a command that fails with this error."""

    exit_status = 1


class UsageError(SpadeError):
    """The command line is invalid; nothing was changed."""

    exit_status = 2


class LockedError(UsageError):
    """Another replay has locked the run tag, or rows of the same tables and window."""


class SettingsError(SpadeError):
    """A setting, or a file that a setting names, is invalid."""


class InputError(SpadeError):
    """The logs, the schemas or the files of a run are invalid."""


class ObjectNotFoundError(InputError):
    """An object or a bucket does not exist."""


class ObjectChangedError(InputError):
    """An object is no longer the version in the plan or the manifest."""


class CorruptObjectError(InputError):
    """An object of the edge logs is not a complete gzip file; its complete lines were read."""


class WarehouseError(SpadeError):
    """The warehouse refuses a statement, and would refuse it again."""


class CopyError(WarehouseError):
    """COPY rejected values; the message has file, line, column, raw value and reason."""


class GuardError(WarehouseError):
    """A guard stopped the load, for example because there are too few new rows."""


class AlreadyLoadedError(WarehouseError):
    """The replay log has a load of the run tag into the table, but that load is not in effect."""


class AlreadyUndoneError(WarehouseError):
    """According to the replay log, the load was undone, and that undo was not undone itself."""


class TransientError(SpadeError):
    """An operation failed that can succeed when it is retried."""


class SerializationError(TransientError):
    """Another transaction won (such as Redshift's 1023, SQLSTATE 40001); nothing was changed."""


class ConnectionLostError(TransientError):
    """The connection broke before the commit; nothing was changed."""


class LookupUnavailableError(TransientError):
    """A lookup service does not answer."""


class LockLostError(SpadeError):
    """Another process took over the lock of this command, which changes no more tables."""


class CommitOutcomeUnknownError(SpadeError):
    """A commit was not confirmed; only the replay log shows if it succeeded."""


class InternalError(SpadeError):
    """A bug in this program; nothing was loaded because of it."""
