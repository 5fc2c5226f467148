"""Request bodies: what is declared, what is sent, and how it is labelled."""

from hypothesis import given
from hypothesis import strategies as st

from tests.compat.bodies import body_handlers
from tests.compat.oracle import assert_same, examples


@examples(100)
@given(data=st.data(), drawn=body_handlers())
def test_bodies(data, drawn):
    program, requests = drawn
    assert_same(program, *data.draw(st.lists(requests, min_size=1, max_size=6)))
