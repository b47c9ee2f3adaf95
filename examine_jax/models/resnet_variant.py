"""What ResNeXt, wide ResNets, ResNet-C, -D, -S, -T and SE-ResNets have that a ResNet lacks.

Source:
    Xie et al., arXiv:1611.05431 (groups); Zagoruyko and Komodakis, arXiv:1605.07146 (width); He et
    al., arXiv:1812.01187 (stems, shortcuts); Hu et al., arXiv:1709.01507 (squeeze and excitation).
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ResNetVariant:
    """Parts in place of a plain ResNet's; by default none.

    Attributes:
        groups: of a bottleneck's 3 x 3 convolution, whose channels do not mix.
        inner_width: channels of a bottleneck's 3 x 3 convolution in the first stage; each later
            stage doubles them. None: the stage's width.
        deep_stem: channels of the first two of three 3 x 3 convolutions in place of the stem's 7 x
            7 one; None: one convolution.
        stem_width: channels that the stem gives; None: the first stage's width.
        average_shortcut: whether a shortcut with a stride averages 2 x 2 places before its
            convolution; places beyond an odd side do not count.
        squeeze_excite: whether each block's branch ends with squeeze and excitation, to a
            sixteenth of its channels, in multiples of eight.
    """

    groups: int = 1
    inner_width: int | None = None
    deep_stem: tuple[int, int] | None = None
    stem_width: int | None = None
    average_shortcut: bool = False
    squeeze_excite: bool = False

    def __post_init__(self) -> None:
        if self.groups < 1 or (self.inner_width or self.groups) % self.groups:
            raise ValueError(
                f"ResNetVariant: groups {self.groups} must be at least 1 and divide inner_width "
                f"{self.inner_width}"
            )
        widths = [self.inner_width, self.stem_width, *(self.deep_stem or ())]
        if any(width is not None and width < 1 for width in widths):
            raise ValueError(f"ResNetVariant: widths must be at least 1, got {self}")

    @staticmethod
    def squeezed(channels: int) -> int:
        """The width of squeezed channels: a sixteenth, in multiples of eight."""
        return max(8, (channels // 16 + 4) // 8 * 8)


PLAIN = ResNetVariant()
