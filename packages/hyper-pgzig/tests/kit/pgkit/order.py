"""In which order statements are sent, seen from the values that go with them."""

import bisect


class Numbered:
    """A value that takes down when it is written, which is when its statement is sent."""

    def __init__(self, number: int, written: list[int]) -> None:
        self.number = number
        self.written = written

    def __index__(self) -> int:
        self.written.append(self.number)
        return self.number


def overtaken_most(order: list[int]) -> int:
    """By how many that came later somebody was overtaken at most."""
    earlier: list[int] = []  # in ascending order
    most = 0
    for number in order:
        place = bisect.bisect(earlier, number)
        most = max(most, len(earlier) - place)
        earlier.insert(place, number)
    return most
