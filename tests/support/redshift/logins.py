"""The users that may log in to the stand-in, and their passwords."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timezone


@dataclass(frozen=True)
class Login:
    """A user's password.

    Attributes:
        password: The password.
        database_user: The database user that the session runs as.
        expires: When the password expires; None if it does not.
    """

    password: str
    database_user: str
    expires: datetime | None = None

    def accepts(self, password: str) -> bool:
        valid = self.expires is None or datetime.now(timezone.utc) < self.expires
        return valid and password == self.password


class Logins:
    """All accepted passwords, shared by all sessions; they can change while the server runs.

    Attributes:
        password: The password of users without one of their own.
    """

    def __init__(self, password: str) -> None:
        self._lock = threading.Lock()
        self._logins: dict[str, list[Login]] = {}
        self.password = password

    def add(
        self, user: str, password: str, database_user: str = "", expires: datetime | None = None
    ) -> None:
        """Accept a password, beside earlier ones of the same user.

        Args:
            user: The name that the client sends: a database user, or ``IAM:user`` or ``IAMR:role``
                as GetClusterCredentials and GetClusterCredentialsWithIAM return it.
                https://docs.aws.amazon.com/redshift/latest/APIReference/API_GetClusterCredentials.html
            password: The password.
            database_user: The database user that the session runs as; by default, the part of
                ``user`` after the colon.
            expires: When the password expires.
        """
        login = Login(password, database_user or user.rpartition(":")[2], expires)
        with self._lock:
            self._logins.setdefault(user, []).append(login)

    def revoke(self, user: str) -> None:
        """Accept no password of a user until another one is added."""
        with self._lock:
            self._logins[user] = []

    def database_user(self, user: str, password: str) -> str | None:
        """Return the database user that logs in, or None if the password is not accepted."""
        with self._lock:
            logins = self._logins.get(user, [Login(self.password, user)])
            return next((login.database_user for login in logins if login.accepts(password)), None)
