"""The values of the named presets, method by method; `examine_jax.pretraining.method_presets` hands them out."""
