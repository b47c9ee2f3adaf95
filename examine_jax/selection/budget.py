"""How many images are to be labelled: a whole number, or a share of the usable images."""

import math
import operator

import numpy as np


def parse_budget(text: str) -> int | float:
    """A budget as commands take it: "200", or a share as "2%".

    Raises:
        ValueError: neither.
    """
    plain = text.strip()
    try:
        return float(plain[:-1]) / 100 if plain.endswith("%") else int(plain)
    except ValueError as error:
        raise ValueError(
            f"budget {text!r}: give a whole number, or a share of the usable images as 2%"
        ) from error


def number_of_images(budget: int | float | str | np.integer, usable: int) -> int:
    """How many images a budget is.

    A share is rounded to the nearest whole number, but is at least one image.

    Args:
        budget: a whole number, a share as a float above 0 and up to 1 (1.0 is all images), or
            either as text ("200", "2%").
        usable: the number of usable images, of which a share is taken.

    Raises:
        ValueError: the budget is no number, is zero or negative, or a share is above 1.
    """
    if isinstance(budget, str):
        budget = parse_budget(budget)
    remedy = "give a whole number of images from 1 on, or a share between 0 and 1 (2% is 0.02)"
    if isinstance(budget, (bool, np.bool_)):
        raise ValueError(f"budget {budget!r} is no number: {remedy}")
    try:
        count = operator.index(budget)  # type: ignore[arg-type]
    except TypeError:
        try:
            share = float(budget)
        except (TypeError, ValueError) as error:
            raise ValueError(f"budget {budget!r} is no number: {remedy}") from error
        if math.isnan(share) or share <= 0:
            raise ValueError(f"budget {share:g} asks for no image: {remedy}") from None
        if share > 1:
            raise ValueError(
                f"budget {share:g} is a share of {share:.0%}, more than all images: {remedy}"
            ) from None
        return max(1, math.floor(share * usable + 0.5)) if usable else 1
    if count < 1:
        raise ValueError(f"budget {count} asks for no image: {remedy}")
    return count
