import oracle.descriptions as d
import oracle.schema as s
d.LOOKUPS = {k: tuple(x for x in v if x in ("exact","gt","gte","in","isnull","lt","lte")) for k,v in d.LOOKUPS.items()}
d.LOOKUPS["enum"]=("exact",)
for k in s.MODELS.values():
    for c in [c for c, t in k.columns.items() if t in ("json",)]: del k.columns[c]
from oracle.test_generated_queries import *
