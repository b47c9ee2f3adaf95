"""The low-resource study: self-supervised methods on small labelled medical sets."""

from examine_jax.studies.low_resource.study import run as run
