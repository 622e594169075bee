"""Find connectors by name, alias, category or way to connect, mistyped words too."""

import re
from collections.abc import Iterable

from rapidfuzz import fuzz, process

_WORD = re.compile(r"[^\W_]+")
# Of 100; lets "salesfroce" and "quickboks" through and keeps "mail" from meaning "maps".
_ALIKE = 75
_LONG_ENOUGH = 4


class Index:
    """Built once for a library; a search walks through the names of all, in memory.

    `entries` are (anything, its name, further words) in the order in which equals are shown.
    """

    def __init__(self, entries: Iterable[tuple[object, str, Iterable[str]]]):
        self._entries = []
        for item, name, words in entries:
            # Names before everything else, so that they come first in a search.
            haystack = "\n".join([name, *words]).lower()
            self._entries.append((item, haystack))
        self._words = sorted({word for _, haystack in self._entries for word in _WORD.findall(haystack)})

    def search(self, text: str) -> list:
        """The items that have every word of the text, best first; a word that none has is read as a typo."""
        wanted = [self._readings(word) for word in _WORD.findall(text.lower())]
        ranked = []
        for place, (item, haystack) in enumerate(self._entries):
            rank = 0
            for readings in wanted:
                found = [haystack.find(reading) for reading in readings]
                best = min((index for index in found if index >= 0), default=None)
                if best is None:
                    break
                rank += best
            else:
                ranked.append((rank, place, item))
        return [item for _, _, item in sorted(ranked, key=lambda entry: entry[:2])]

    def _readings(self, word: str) -> list[str]:
        """The word itself where anything has it, else the words that it may be a typo of."""
        if any(word in haystack for _, haystack in self._entries) or len(word) < _LONG_ENOUGH:
            return [word]
        alike = process.extract(word, self._words, scorer=fuzz.ratio, score_cutoff=_ALIKE, limit=5)
        return [found for found, _, _ in alike] or [word]
