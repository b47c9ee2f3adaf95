"""Our activations under the names of other libraries."""

from examine_jax.models.weights.transformer import ACTIVATIONS


def transformers_activation(mlp: str) -> str:
    """transformers' name (hidden_act) of a plain MLP's activation.

    Raises:
        ValueError: transformers has none.
    """
    for name, ours in ACTIVATIONS.items():
        if ours == mlp:
            return name
    raise ValueError(f"transformers has no name for the activation {mlp}")
