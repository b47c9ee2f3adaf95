"""Ways to value data: what each row of features is worth. Imports jax and numpy alone; what needs more says so."""
