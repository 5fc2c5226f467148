import pytest

PLACES = {
    "APIKeyQuery": lambda key: {"query": f"other=1&key={key}"},
    "APIKeyHeader": lambda key: {"headers": {"Key": key}},
    "APIKeyCookie": lambda key: {"headers": {"Cookie": f"other=1; key={key}"}},
}


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("scheme", PLACES)
def test_key_is_the_result(compare, scheme, kind):
    assert compare(scheme, {"name": "key"}, kind=kind, **PLACES[scheme]("secret")) == "secret"


@pytest.mark.parametrize("scheme", PLACES)
def test_names_match_case_as_their_place_does(compare, scheme):
    found = compare(scheme, {"name": "KEY", "auto_error": False}, **PLACES[scheme]("secret"))
    assert found == ("secret" if scheme == "APIKeyHeader" else None)


@pytest.mark.parametrize("where", [PLACES.get, lambda scheme: lambda key: {}], ids=["empty", "absent"])
@pytest.mark.parametrize("scheme", PLACES)
def test_without_a_key_there_is_a_401(compare, scheme, where):
    refused = compare(scheme, {"name": "key"}, **where(scheme)(""))
    assert refused == (False, 401, "Not authenticated", {"WWW-Authenticate": "APIKey"})


@pytest.mark.parametrize("scheme", PLACES)
def test_without_a_key_optional_schemes_yield_none(compare, scheme):
    assert compare(scheme, {"name": "key", "auto_error": False}) is None
    assert compare(scheme, {"name": "key", "auto_error": False}, **PLACES[scheme]("")) is None


def test_the_last_of_several_query_values_counts(compare):
    assert compare("APIKeyQuery", {"name": "key"}, query="key=a&key=b") == "b"
