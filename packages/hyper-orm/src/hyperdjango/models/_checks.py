"""Checks of what users without a type checker may give, which checkers hold to be impossible."""


def is_a(value: object, *classes: type) -> bool:
    """Whether a value is of one of these classes."""
    return isinstance(value, classes)
