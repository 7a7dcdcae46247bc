"""Models and querysets on the driver: the distribution hyper-orm."""

from importlib import metadata
from typing import Final

from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen, MultipleOf, Predicate
from hyperdjango.database.types import Multirange as MultiRange
from hyperdjango.database.types import Range
from hyperdjango.models._driver import DISTRIBUTION
from hyperdjango.models._filtered_relation import FilteredRelation
from hyperdjango.models._loading import ONE, PEERS, RAISE, FetchMode
from hyperdjango.models._markers import (
    BigInt,
    Bit,
    Char,
    Cidr,
    CiText,
    Collation,
    Digits,
    Domain,
    EnumName,
    Hstore,
    Inet,
    Integer,
    Json,
    Jsonb,
    LTree,
    MacAddr,
    Money,
    Real,
    SmallInt,
    SqlType,
    Timestamp,
    TimeTz,
    TsQuery,
    TsVector,
    Varbit,
    Vector,
    VectorSize,
    Xml,
)
from hyperdjango.models._meta import UNSET, OnDelete
from hyperdjango.models.constraints import CheckConstraint, ExclusionConstraint, UniqueConstraint
from hyperdjango.models.errors import (
    FieldError,
    ModelDeclarationError,
    ModelError,
    MultipleObjectsReturned,
    NotLoaded,
    ObjectDoesNotExist,
    StaleObject,
    ValidationError,
)
from hyperdjango.models.expressions import Expression, F, OrderBy, OuterRef, Value
from hyperdjango.models.fields import Field
from hyperdjango.models.indexes import Index, SqlText
from hyperdjango.models.manager import Manager
from hyperdjango.models.model import Model
from hyperdjango.models.prefetch import Prefetch, prefetch_related_objects
from hyperdjango.models.query_words import Q
from hyperdjango.models.queryset import QuerySet
from hyperdjango.models.relations import ForeignKey, ManyToMany, OneToOne, Related, RelatedOne, RelatedSet
from hyperdjango.models.schema import (
    create_schema,
    create_schema_sync,
    drop_schema,
    drop_schema_sql,
    drop_schema_sync,
    schema_sql,
)

__version__: Final = metadata.version(DISTRIBUTION)
CASCADE: Final = OnDelete.CASCADE
RESTRICT: Final = OnDelete.RESTRICT
PROTECT: Final = OnDelete.RESTRICT
SET_NULL: Final = OnDelete.SET_NULL
SET_DEFAULT: Final = OnDelete.SET_DEFAULT
DO_NOTHING: Final = OnDelete.NO_ACTION

__all__ = [
    "CASCADE",
    "DO_NOTHING",
    "ONE",
    "PEERS",
    "PROTECT",
    "RAISE",
    "RESTRICT",
    "SET_DEFAULT",
    "SET_NULL",
    "UNSET",
    "BigInt",
    "Bit",
    "Char",
    "CheckConstraint",
    "CiText",
    "Cidr",
    "Collation",
    "Digits",
    "Domain",
    "EnumName",
    "ExclusionConstraint",
    "Expression",
    "F",
    "FetchMode",
    "Field",
    "FieldError",
    "FilteredRelation",
    "ForeignKey",
    "Ge",
    "Gt",
    "Hstore",
    "Index",
    "Inet",
    "Integer",
    "Interval",
    "Json",
    "Jsonb",
    "LTree",
    "Le",
    "Len",
    "Lt",
    "MacAddr",
    "Manager",
    "ManyToMany",
    "MaxLen",
    "MinLen",
    "Model",
    "ModelDeclarationError",
    "ModelError",
    "Money",
    "MultiRange",
    "MultipleObjectsReturned",
    "MultipleOf",
    "NotLoaded",
    "ObjectDoesNotExist",
    "OnDelete",
    "OneToOne",
    "OrderBy",
    "OuterRef",
    "Predicate",
    "Prefetch",
    "Q",
    "QuerySet",
    "Range",
    "Real",
    "Related",
    "RelatedOne",
    "RelatedSet",
    "SmallInt",
    "SqlText",
    "SqlType",
    "StaleObject",
    "TimeTz",
    "Timestamp",
    "TsQuery",
    "TsVector",
    "UniqueConstraint",
    "ValidationError",
    "Value",
    "Varbit",
    "Vector",
    "VectorSize",
    "Xml",
    "__version__",
    "create_schema",
    "create_schema_sync",
    "drop_schema",
    "drop_schema_sql",
    "drop_schema_sync",
    "prefetch_related_objects",
    "schema_sql",
]
