"""Stacks of middleware: on the built-in server most of them run as layers of the compiled pipeline."""

import itsdangerous
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compat.oracle import assert_same, examples
from tests.compat.stacks import stack_requests, stacks


@pytest.fixture(autouse=True, scope="module")
def _stopped_clock():
    with pytest.MonkeyPatch.context() as patch:  # sessions are signed together with the time
        patch.setattr(itsdangerous.TimestampSigner, "get_timestamp", lambda self: 1_800_000_000)
        yield


@examples(150)
@given(program=stacks(), requests=st.lists(stack_requests(), min_size=1, max_size=6))
def test_stacks(program, requests):
    assert_same(program, *requests)
