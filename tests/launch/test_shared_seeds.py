"""Seeds that fail are never taken for seeds that are done."""

import pytest

from launch.shared_seeds import spread


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("no space"), "no space"), (OSError(), "OSError")]
)
def test_seeds_that_fail_without_a_word_fail_too(error, message):
    runs = []

    def run(seeds):
        runs.append(list(seeds))
        raise error

    with pytest.raises(ValueError, match=message):
        spread([3, 4], run)
    assert runs == [[3, 4]]
