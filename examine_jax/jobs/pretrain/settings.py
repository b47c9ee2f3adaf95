"""What a training job trains and how: the settings that are its command's flags."""

import dataclasses
from typing import Any, Literal

from examine_jax.common.settings import setting
from examine_jax.encoders.base import Base, load_base
from examine_jax.encoders.train import adapted_method
from examine_jax.models.architectures import ARCHITECTURES, Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.models.low_rank import LowRank
from examine_jax.pretraining import Method, PretrainSettings, method_preset
from examine_jax.pretraining.changed import with_pixels
from examine_jax.pretraining.registry import METHODS
from examine_jax.training.method import EncoderConfig, required_columns, uses_column

LABEL = "label"  # the column of the classes


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """What is trained and how; None: the preset's value.

    A preset's batch that is larger than the set is cut down to it; a larger `batch_size` given here
    is an error.
    """

    method: str = setting(
        "mae",
        "The method.",
        known=lambda: [named.name for named in METHODS],
        metavar="NAME",
        main=True,
    )
    preset: str = setting(
        "small",
        "The method's settings; not every method has each.",
        known=lambda: list(dict.fromkeys(preset for named in METHODS for preset in named.presets)),
        metavar="NAME",
        main=True,
    )
    architecture: str = setting(
        "small", "The encoder's architecture.", known=ARCHITECTURES, metavar="NAME", main=True
    )
    image_size: int | None = setting(
        None,
        "Images are resized to this side. If not given: the architecture's.",
        minimum=1,
        main=True,
    )
    channels: int | None = setting(
        None, "1: grey, 3: colour. If not given: the architecture's.", minimum=1
    )
    steps: int | None = setting(
        None, "Training steps. If not given: the preset's.", minimum=1, main=True
    )
    batch_size: int | None = setting(
        None, "Images a step. If not given: the preset's.", minimum=1, main=True
    )
    accumulate: int | None = setting(None, "Micro-batches a step.", minimum=1)
    dtype: Literal["float32", "bfloat16"] | None = setting(
        None, "Of the computation; parameters are always float32."
    )
    remat: bool = setting(
        False, "Recompute blocks in the backward pass: less memory, a third more work."
    )
    seed: int = setting(0, "Of all random numbers.", minimum=0, main=True)
    init: str | None = setting(
        None,
        "An encoder's folder to go on from, ours or another library's. If not given: random "
        "weights.",
        metavar="FOLDER",
        main=True,
    )
    lora_rank: int | None = setting(
        None,
        "Train pairs of this rank beside the weights of --init (LoRA). If not given: all weights.",
        minimum=1,
    )
    lora_scale: float = setting(16.0, "The pairs' product is multiplied by this / rank.")
    lora_layers: tuple[str, ...] = setting(
        ("qkv", "out"), "Which layers of a block have a pair: qkv, out, mlp.", metavar="NAME,NAME"
    )
    layer_decay: float | None = setting(
        None, "Each layer has this share of the next one's learning rate. If not given: all of it."
    )
    compare: bool = setting(
        True,
        "With --init: compare the encoder before and after, and one that is trained from scratch, "
        "which takes as long again.",
    )

    def __post_init__(self) -> None:
        if self.lora_rank is not None and self.init is None:
            raise ValueError("lora_rank trains beside the weights of an encoder: give init too")
        own = type(self)
        if self.lora_rank is None and (
            (self.lora_scale, self.lora_layers) != (own.lora_scale, own.lora_layers)
        ):
            raise ValueError(
                "lora_scale and lora_layers are of the pairs that lora_rank asks for: give "
                "lora_rank too, or leave them away"
            )
        self.low_rank()

    def base(self) -> Base | None:
        """The encoder that the training goes on from, at the training's image size.

        Raises:
            ValueError: it cannot be read; the method does not fit it; architecture or channels say
                otherwise (which tensor).
        """
        if self.init is None:
            return None
        base = load_base(self.init, image_size=self.image_size)
        own: Any = base.encoder.method.encoder
        if self.architecture != type(self).architecture:
            asked = named_architecture(
                self.architecture, image_size=own.image_size, channels=self.channels
            )
            base.check(asked.encoder)
        if self.channels is not None and self.channels != own.channels:
            base.check(dataclasses.replace(own, channels=self.channels))
        self._method(base)
        if (pairs := self.low_rank()) is not None:
            adapted_method(self._method(base), pairs, base)
        return base

    def low_rank(self) -> LowRank | None:
        """The pairs that are trained beside a base's weights; None: all weights are trained."""
        if self.lora_rank is None:
            return None
        return LowRank(self.lora_rank, self.lora_scale, self.lora_layers)

    def encoder(self, base: Base | None = None) -> EncoderConfig:
        """The encoder's configuration; that of the base, if there is one."""
        config: EncoderConfig = self._architecture(base).encoder
        return config

    def needs_labels(self) -> bool:
        """Whether the method trains with labels."""
        return LABEL in required_columns(self._method())

    def uses_labels(self) -> bool:
        """Whether the method trains with labels, or reports by them."""
        return uses_column(self._method(), LABEL)

    def resolve(self, num_images: int, base: Base | None = None) -> tuple[Method, PretrainSettings]:
        """The method and its training on so many images, of a base's network if there is one.

        Raises:
            ValueError: unknown names (says which there are), an architecture that the method cannot
                use, a batch larger than the set.
        """
        if self.batch_size is not None and self.batch_size > num_images:
            raise ValueError(
                f"a batch of {self.batch_size} out of {num_images} images; choose a batch size up "
                f"to {num_images}"
            )
        chosen = self._architecture(base)
        _, settings = method_preset(self.method, chosen, preset=self.preset)
        batch_size = min(self.batch_size or settings.batch_size, num_images)
        steps = self.steps or settings.phases[0].count(max(1, num_images // batch_size))
        method, settings = method_preset(self.method, chosen, preset=self.preset, steps=steps)
        if base is not None:
            method = with_pixels(method, base.pixels)
        settings = dataclasses.replace(
            settings, batch_size=batch_size, seed=self.seed, layer_decay=self.layer_decay
        )
        if self.accumulate is not None:
            settings = dataclasses.replace(settings, accumulate=self.accumulate)
        return method, settings

    def _method(self, base: Base | None = None) -> Method:
        return method_preset(self.method, self._architecture(base), preset=self.preset)[0]

    def _architecture(self, base: Base | None = None) -> Architecture:
        if base is not None:
            chosen = base.architecture
        elif self.init is not None:  # the encoder's own size and channels are not yet known
            chosen = named_architecture(self.architecture)
        else:
            chosen = named_architecture(
                self.architecture, image_size=self.image_size, channels=self.channels
            )
        changes: dict[str, Any] = {"remat": True} if self.remat else {}
        if self.dtype is not None:
            changes["dtype"] = self.dtype
        return dataclasses.replace(chosen, encoder=dataclasses.replace(chosen.encoder, **changes))


DEFAULT_TRAINING = TrainingSettings()
