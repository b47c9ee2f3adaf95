"""Finds which of many known texts, such as file names, a message mentions."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True, eq=False)
class Mentions:
    """Known texts, found by one word of each.

    A message is compared with the texts alone whose word it has, so many messages about many files
    take no long time.

    Attributes:
        by_word: the texts, by the word of each that the fewest texts have.
        without_words: texts that have no word.
    """

    by_word: Mapping[str, tuple[str, ...]]
    without_words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Mentions":
        """Known texts. Empty ones are left out."""
        words = {text: _WORD.findall(text) for text in dict.fromkeys(texts) if text}
        counts = collections.Counter(word for own in words.values() for word in set(own))
        by_word: dict[str, list[str]] = {}
        for text, own in words.items():
            if own:
                by_word.setdefault(min(own, key=counts.__getitem__), []).append(text)
        return cls(
            {word: tuple(found) for word, found in by_word.items()},
            tuple(text for text, own in words.items() if not own),
        )

    def found_in(self, message: str) -> tuple[str, ...]:
        """The known texts that are part of the message, beginning and ending where words do."""
        words = dict.fromkeys(_WORD.findall(message))
        candidates = [text for word in words for text in self.by_word.get(word, ())]
        return tuple(text for text in (*candidates, *self.without_words) if text in message)
