import warnings

import pytest
import starlette.status

from turboapi import status
from turboapi.exceptions import StarletteDeprecationWarning


def test_names_and_codes_are_the_references() -> None:
    assert {name: getattr(status, name) for name in status.__all__} == {
        name: getattr(starlette.status, name) for name in starlette.status.__all__
    }
    assert dir(status) == dir(starlette.status)


@pytest.mark.parametrize("name", starlette.status.__deprecated__)
def test_deprecated_name_warns_where_it_is_used_and_still_works(name: str) -> None:
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        value = getattr(starlette.status, name)
    with pytest.warns(StarletteDeprecationWarning) as caught:
        assert getattr(status, name) == value
    assert [str(record.message) for record in caught] == [str(record.message) for record in expected]
    assert caught[0].filename == __file__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'turboapi.status' has no attribute 'HTTP_999_UNKNOWN'"):
        status.HTTP_999_UNKNOWN  # noqa: B018
