"""What `timeout=` may be."""

import math

import pytest
from hyperdjango.database._deadline import check_timeout, deadline_after
from pgkit.face import Face


def test_a_timeout_is_none_or_seconds() -> None:
    assert [check_timeout(each) for each in (None, 0, 0.5, 3, math.inf)] == [None, 0, 0.5, 3, None]
    assert [deadline_after(10, each) for each in (None, 0, 0.5, math.inf)] == [None, 10, 10.5, None]


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
def test_a_timeout_that_is_negative_or_no_number_is_refused(face: Face, timeout: float) -> None:
    for call in (check_timeout, face.disconnect, lambda timeout: deadline_after(1, timeout)):
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds or None"):
            call(timeout)
    for call in (face.query, face.query_one, face.query_val, face.query_json, face.execute):
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds or None"):
            call("SELECT 1", timeout=timeout)
    with pytest.raises(ValueError, match="timeout must be 0 or more seconds or None"):
        face.execute_many("SELECT $1::int", [(1,)], timeout=timeout)
    assert face.query_val("SELECT 1") == 1
    assert face.pool_stats()["busy"] == 0
