"""examine_jax: says which unlabelled medical images are worth labelling."""
