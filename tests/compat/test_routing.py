"""Which route answers, with which path values; redirects, 404 and 405."""

from hypothesis import given
from hypothesis import strategies as st

from tests.compat.oracle import assert_same, examples
from tests.compat.tables import route_requests, tables


@examples(120)
@given(data=st.data(), table=tables(own_root_path=True))
def test_tables(data, table):
    program, paths = table
    assert_same(program, *data.draw(st.lists(route_requests(paths), min_size=3, max_size=10)))


@examples(30)
@given(data=st.data(), table=tables(), root_path=st.sampled_from(["/p", "/p/q", "/root"]))
def test_tables_below_a_root_path(data, table, root_path):
    program, paths = table
    assert_same(program, *data.draw(st.lists(route_requests(paths), min_size=3, max_size=8)), root_path=root_path)
