"""What handlers return and raise, and what becomes of it."""

from hypothesis import given
from hypothesis import strategies as st

from tests.compat.client import Request
from tests.compat.oracle import assert_same, examples
from tests.compat.results import response_handlers, result_handlers

requests = st.sampled_from([Request("GET"), Request("GET"), Request("HEAD")])


@examples(200)
@given(program=result_handlers())
def test_values(program):
    assert_same(program)


@examples(100)
@given(program=response_handlers(), request=requests)
def test_responses_and_exceptions(program, request):
    assert_same(program, request)
