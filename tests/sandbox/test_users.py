"""The default settings can read the responses of the sandbox's users service."""

import json

import jmespath
import pytest
import urllib3

from spade_spark.sandbox.users_service import UsersService
from spade_spark.settings import UsersSettings


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    table = tmp_path_factory.mktemp("users") / "users.json"
    table.write_text(json.dumps({"ann": 7, "été": 8}))
    with UsersService(table) as running:
        yield running


def _get(service, **fields):
    return urllib3.request("GET", service.url, fields=fields)


@pytest.mark.parametrize(("login", "user_id"), [("ann", 7), ("été", 8), ("nobody", None)])
def test_a_login_returns_its_user_id_or_nothing(service, login, user_id):
    response = _get(service, login=login).json()
    assert jmespath.search(UsersSettings().path, response) == user_id


def test_a_request_without_a_login_is_rejected(service):
    assert _get(service).status == 400


def test_the_users_service_writes_no_request_log(service, capfd):
    _get(service, login="ann")
    assert capfd.readouterr() == ("", "")
