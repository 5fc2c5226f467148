"""Dependency graphs: results, errors, and the order in which everything runs."""

from hypothesis import given
from hypothesis import strategies as st

from tests.compat.graphs import graph_requests, graphs
from tests.compat.oracle import assert_same, examples


@examples(120)
@given(program=graphs(), requests=st.lists(graph_requests, min_size=1, max_size=3))
def test_graphs(program, requests):
    assert_same(program, *requests)
