"""Whole applications: how handlers, guards, middleware, exception handlers and background tasks play together."""

from hypothesis import given
from hypothesis import strategies as st

from tests.compat.oracle import assert_same, examples
from tests.compat.wholes import whole_applications


@examples(150)
@given(data=st.data(), drawn=whole_applications())
def test_wholes(data, drawn):
    program, requests = drawn
    assert_same(program, *data.draw(st.lists(requests, min_size=1, max_size=5)))
