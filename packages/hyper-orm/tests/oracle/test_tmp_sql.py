import psycopg, pytest
from hypothesis import HealthCheck, given, settings
import oracle.descriptions as d
from oracle.as_sql import text
from collections import Counter
from oracle.as_orm import queryset
seen=[0,0]
@pytest.fixture(scope="session")
def by_hand(shop_url):
    with psycopg.connect(shop_url, autocommit=True) as connection:
        yield connection
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=d.queries())
def test_sql(by_hand, query):
    rows=by_hand.execute(text(query).encode()).fetchall()
    seen[0]+=1; seen[1]+=bool(rows)
def test_seen():
    print(seen); assert 0, seen
