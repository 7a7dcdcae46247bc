import oracle.descriptions as d
d.LOOKUPS = {k: tuple(x for x in v if x in ("exact","gt","gte","in","isnull","lt","lte")) for k,v in d.LOOKUPS.items()}
from oracle.test_generated_queries import *
