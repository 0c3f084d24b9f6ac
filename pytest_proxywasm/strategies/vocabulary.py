"""Words that a filter knows: header names it asks for, and what its configuration says; knows no filter and no host.

Random header names never meet the one header a filter looks at. So while a test runs, whoever knows its filters (the
pytest plugin) offers the words they know, and strategies mix them in. The words of a test do not change while it runs:
the same choices of Hypothesis give the same example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["NOTHING", "Words", "current", "offer", "words_in"]

_TOKEN = re.compile(r"[A-Za-z0-9_./:@-]{1,64}")
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Words:
    """What a filter knows.

    Attributes:
        names: names of request and response headers.
        texts: words of its configuration.
    """

    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Those that are paths."""
        return tuple(text for text in self.texts if text.startswith("/"))


NOTHING = Words()
_offered: Callable[[], Words] | None = None
_known: Words | None = NOTHING


def offer(learn: Callable[[], Words] | None) -> None:
    """Have strategies use these words from now on; ``learn`` runs when they are first needed. ``None`` ends it."""
    global _offered, _known
    _offered = learn
    _known = NOTHING if learn is None else None


def current() -> Words:
    """The words of the running test."""
    global _known
    if _known is None:
        learn, _known = _offered, NOTHING
        if learn is not None:
            _known = learn()
    return _known


def words_in(names: Iterable[str], configurations: Iterable[bytes]) -> Words:
    """Words from names a filter asked for, and from its configurations."""
    found = sorted({name.lower() for name in names})
    texts = dict.fromkeys(
        word for text in configurations for word in _TOKEN.findall(text.decode("utf-8", "ignore"))[:200]
    )
    named = [word.lower() for word in texts if "-" in word and _NAME.fullmatch(word.lower())]
    return Words(
        tuple(dict.fromkeys(name for name in [*found, *named] if _NAME.fullmatch(name)))[:60],
        tuple(texts)[:100],
    )
