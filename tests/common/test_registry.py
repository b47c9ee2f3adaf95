import pytest

from examine_jax.common.registry import lookup


def test_a_known_name_gives_its_entry():
    assert lookup("one", {"one": 1, "two": 2}, "number") == 1


def test_a_name_with_a_colon_is_imported():
    import math

    assert lookup("math:sqrt", {"one": math.exp}, "function") is math.sqrt


@pytest.mark.parametrize("name", ["three", ":sqrt", "math:", ""])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"unknown number .*choose from one, two"):
        lookup(name, {"one": 1, "two": 2}, "number")


def test_a_module_or_attribute_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="module no_such_module cannot be imported"):
        lookup("no_such_module:thing", {}, "valuer")
    with pytest.raises(ValueError, match="module math has no thing"):
        lookup("math:thing", {}, "valuer")
