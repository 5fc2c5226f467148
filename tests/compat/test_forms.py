"""Form fields and files, in both encodings."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compat.forms import form_handlers, form_requests
from tests.compat.oracle import assert_same, examples


@pytest.fixture(autouse=True, scope="module")
def files_left_behind():
    """Files of forms that could not be parsed to their end are closed when they are forgotten: here, and not later."""
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@examples(100)
@given(program=form_handlers(), requests=st.lists(form_requests(), min_size=1, max_size=6))
def test_forms(program, requests):
    assert_same(program, *requests)
