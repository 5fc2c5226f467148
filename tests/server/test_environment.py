import os
import sys

import pytest

from turboapi.server import ServerConfig, ServerError
from turboapi.server.environment import check_environment, load_environment


@pytest.fixture
def env_file(tmp_path, monkeypatch):
    """A file of variables, which are all forgotten afterwards."""
    monkeypatch.setattr(os, "environ", {"SET_BEFORE": "1"})
    file = tmp_path / "shop.env"
    file.write_text('# comment\nexport TEA="green tea"\nSET_BEFORE=2\n')
    return str(file)


def test_variables_are_set_unless_they_are_already(env_file):
    load_environment(ServerConfig(env_file=env_file))
    assert (os.environ["TEA"], os.environ["SET_BEFORE"]) == ("green tea", "1")


def test_no_file_no_variables(env_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "dotenv", None)
    load_environment(ServerConfig())
    assert "TEA" not in os.environ


def test_without_python_dotenv_one_line_says_what_to_do(env_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "dotenv", None)
    for function in (check_environment, load_environment):
        with pytest.raises(ServerError, match=r'^env_file needs python-dotenv: pip install "turboapi\[dotenv\]"$'):
            function(ServerConfig(env_file=env_file))
