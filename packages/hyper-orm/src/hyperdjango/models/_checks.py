"""Checks of what users without a type checker may give, which checkers hold to be impossible."""


def is_a(value: object, *classes: type) -> bool:
    """Whether a value is of one of these classes."""
    return isinstance(value, classes)


def has(value: object, name: str) -> bool:
    """Whether the class of a value has an attribute: instances of models have `_table`, expressions `resolve`."""
    return hasattr(value.__class__, name)
