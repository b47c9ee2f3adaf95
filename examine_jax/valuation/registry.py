"""The valuers that there are. A new one is a file in `valuers/` and a line here."""

from collections.abc import Mapping
from typing import Any

from examine_jax.common.registry import lookup
from examine_jax.valuation.valuation import Valuer
from examine_jax.valuation.valuers import (
    banzhaf,
    beta_shapley,
    data_oob,
    examine,
    facility_location,
    image_quality,
    k_centre,
    knn_distance,
    knn_shapley,
    leave_one_out,
    leverage,
    mahalanobis,
    prob_cover,
    prototype_distance,
    random,
    tmc_shapley,
    typicality,
)
from examine_jax.valuation.valuers.entry import ValuerEntry

VALUERS: Mapping[str, ValuerEntry] = {
    entry.name: entry
    for entry in (
        examine.ENTRY,
        random.ENTRY,
        leverage.ENTRY,
        knn_distance.ENTRY,
        mahalanobis.ENTRY,
        typicality.ENTRY,
        prototype_distance.ENTRY,
        k_centre.ENTRY,
        prob_cover.ENTRY,
        facility_location.ENTRY,
        leave_one_out.ENTRY,
        tmc_shapley.ENTRY,
        beta_shapley.ENTRY,
        banzhaf.ENTRY,
        knn_shapley.ENTRY,
        data_oob.ENTRY,
        *image_quality.ENTRIES,
    )
}


def valuer_entry(name: str) -> ValuerEntry:
    """The valuer of this name, or what `package.module:attribute` names.

    The attribute is a `ValuerEntry`; or, for a valuer of features alone, a `Valuer` or a function
    without arguments that gives one, such as its class.

    Raises:
        ValueError: no such valuer, module or attribute; an attribute of another kind.
    """
    found: Any = lookup(name, VALUERS, "valuer")
    if isinstance(found, ValuerEntry):
        return found
    description = (getattr(found, "__doc__", None) or "").strip().partition("\n")[0]
    if isinstance(found, Valuer) and not isinstance(found, type):
        return ValuerEntry(name, description, lambda options, validation: found)
    if callable(found):
        return ValuerEntry(name, description, lambda options, validation: _checked(name, found()))
    raise ValueError(
        f"valuer {name!r} is a {type(found).__name__}: give a ValuerEntry, or a class with a "
        "method value"
    )


def feature_valuers(*, with_labels: bool) -> tuple[str, ...]:
    """Names of the library's valuers of features that need labels, or of those that need none."""
    return tuple(
        entry.name
        for entry in VALUERS.values()
        if entry.needs != "images" and entry.needs_labels == with_labels
    )


def image_valuers() -> tuple[str, ...]:
    """Names of the library's valuers of images."""
    return tuple(entry.name for entry in VALUERS.values() if entry.needs == "images")


def describe_valuers() -> str:
    """All valuers with their descriptions, in one line for each kind of input."""
    kinds = {
        "label-free": feature_valuers(with_labels=False),
        "with labels": feature_valuers(with_labels=True),
        "with --images": image_valuers(),
    }
    listed = [
        f"{kind}: {', '.join(f'{name} ({VALUERS[name].description})' for name in names)}"
        for kind, names in kinds.items()
    ]
    return "; ".join(listed)


def _checked(name: str, made: Any) -> Valuer:
    if not isinstance(made, Valuer):
        raise ValueError(
            f"valuer {name!r} makes a {type(made).__name__}, which has no method value"
        )
    return made
