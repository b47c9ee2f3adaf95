"""Known texts in messages, against a plain search."""

import pytest

from examine_jax.common.mentions import Mentions

NAMES = ("a/1.dcm", "a/2.dcm", "a b/é c.dcm", "1.dcm", "--", "", "x[0]", "1.2.840.1", "naïve_1")


@pytest.mark.parametrize("name", [one for one in NAMES if one])
@pytest.mark.parametrize("message", ["{}", "cannot read '{}': (1.5)", "{}: bad; {}", "of\n{},"])
def test_what_a_message_mentions_is_found(name: str, message: str) -> None:
    text = message.format(name, name)
    found = Mentions.of(NAMES).found_in(text)
    assert sorted(found) == sorted(one for one in NAMES if one and one in text)


def test_a_part_of_a_word_is_no_mention() -> None:
    assert Mentions.of(["IM1", "IM10"]).found_in("cannot read IM10") == ("IM10",)
    assert Mentions.of([]).found_in("IM10") == ()
