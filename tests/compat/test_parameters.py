"""Path, query, header and cookie parameters: declared in every way, sent in every way."""

from hypothesis import given
from hypothesis import strategies as st

from tests.compat.applications import handlers, requests_for
from tests.compat.groups import group_handlers, group_requests
from tests.compat.oracle import assert_same, examples


@examples(60)
@given(data=st.data(), drawn=handlers())
def test_parameters(data, drawn):
    program, found = drawn
    assert_same(program, *data.draw(st.lists(requests_for(found), min_size=1, max_size=8)))


@examples(60)
@given(program=group_handlers(), requests=st.lists(group_requests(), min_size=1, max_size=6))
def test_groups(program, requests):
    assert_same(program, *requests)
