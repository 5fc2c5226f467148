import importlib
import json
import sys

import pytest

from turboapi import TurboAPI
from turboapi.server.tracebacks import format_short


def caught(function, *args):
    try:
        function(*args)
    except Exception as exc:
        return exc
    raise AssertionError("nothing was raised")


def names(text):
    return [line.rpartition(", in ")[2] for line in text.splitlines() if line.startswith("  File ") and ", in " in line]


def test_frames_of_libraries_are_left_out():
    text = format_short(caught(json.loads, "{"))
    assert names(text) == ["caught"]
    assert text.startswith("Traceback (most recent call last):\n") and text.splitlines()[-1].startswith("json.decoder")
    assert not text.endswith("\n")


def test_frames_of_turboapi_are_left_out():
    assert names(format_short(caught(TurboAPI().url_path_for, "tea"))) == ["caught"]


def test_causes_and_groups_are_shortened_too():
    def fail():
        try:
            json.loads("{")
        except ValueError as exc:
            raise KeyError("tea") from exc

    def several():
        raise ExceptionGroup("several", [caught(fail)])

    assert names(format_short(caught(fail))) == ["fail", "caught", "fail"]
    text = format_short(caught(several))
    assert text.count("in fail") == 2 and "direct cause" in text and "raw_decode" not in text


def test_an_exception_without_frames_of_the_application_keeps_what_it_has():
    exc = caught(json.loads, "{")
    exc.__traceback__ = exc.__traceback__.tb_next
    assert names(format_short(exc)) == ["loads", "decode", "raw_decode"]


def test_an_exception_never_raised():
    assert format_short(ValueError("tea")) == "ValueError: tea"


@pytest.mark.parametrize(
    ("text", "frames"), [("def (\n", []), ("1 / 0\n", ["<module>"]), ("import no_such_tea\n", ["<module>"])]
)
def test_the_import_machinery_is_left_out(tmp_path, monkeypatch, text, frames):
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "tea_installed.py").write_text(text)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    exc = caught(importlib.import_module, "tea_installed")
    exc.__traceback__ = exc.__traceback__.tb_next  # without this test
    assert names(format_short(exc)) == frames
    assert 'tea_installed.py", line 1' in format_short(exc)
