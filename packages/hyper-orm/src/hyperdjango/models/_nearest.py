"""The end of an error about a word that is not known: the words that were most likely meant."""

from collections.abc import Iterable
from difflib import get_close_matches

NAMED_MAX = 12


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'a' or 'b'?", or what there is where nothing is near; to be put behind a sentence."""
    names = sorted(set(known))
    close = get_close_matches(word, names, n=2, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    if not names:
        return "; there is none"
    shown = ", ".join(names[:NAMED_MAX])
    return f"; there are {shown}{', …' if len(names) > NAMED_MAX else ''}"
