"""The sandbox's users service answers as the settings' default path expects."""

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


def _ask(service, **fields):
    return urllib3.request("GET", service.url, fields=fields)


@pytest.mark.parametrize(("login", "user"), [("ann", 7), ("été", 8), ("nobody", None)])
def test_a_login_gives_its_id_or_nothing(service, login, user):
    answer = _ask(service, login=login).json()
    assert jmespath.search(UsersSettings().path, answer) == user


def test_a_request_without_a_login_is_refused(service):
    assert _ask(service).status == 400


def test_it_writes_nothing_about_requests(service, capfd):
    _ask(service, login="ann")
    assert capfd.readouterr() == ("", "")
