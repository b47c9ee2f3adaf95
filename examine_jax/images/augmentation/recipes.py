"""The augmentation of each method's paper, as data.

The numbers are those of the reference codes. Colours are jittered by torchvision's formulas. The
TensorFlow and JAX codes of SimCLR and BYOL use other formulas of the same strengths; BYOL's adds to
the brightness instead of scaling it.
"""

from examine_jax.images.augmentation.blur import GaussianBlur
from examine_jax.images.augmentation.colour import ColorJitter, RandomGrayscale, Solarize
from examine_jax.images.augmentation.compose import Compose, TwoViews
from examine_jax.images.augmentation.crop import RandomResizedCrop
from examine_jax.images.augmentation.symmetries import Flip


def mae_crop(size: int) -> Compose:
    """MAE's one view: a random resized crop (20 % to 100 %, bicubic) and a flip.

    Source:
        He et al., arXiv:2111.06377.
    """
    return Compose((RandomResizedCrop(size, (0.2, 1.0)), Flip()))


def byol_views(size: int) -> TwoViews:
    """BYOL's views.

    The first is always blurred; the second is blurred with probability 0.1 and solarised with 0.2.

    Source:
        Grill et al., arXiv:2006.07733, table 6.
    """

    def view(blur: float, solarize: float) -> Compose:
        colours = (ColorJitter(0.4, 0.4, 0.2, 0.1, probability=0.8), RandomGrayscale(0.2))
        tail = (Solarize(probability=solarize),) if solarize else ()
        return Compose(
            (RandomResizedCrop(size), Flip(), *colours, GaussianBlur(probability=blur), *tail)
        )

    return TwoViews(view(1.0, 0.0), view(0.1, 0.2))


def vicreg_views(size: int) -> TwoViews:
    """VICReg's views, which are BYOL's.

    Source:
        Bardes et al., arXiv:2105.04906.
    """
    return byol_views(size)


def simclr_views(size: int) -> TwoViews:
    """SimCLR's views at colour strength 1; DCL uses the same.

    Source:
        Chen et al., arXiv:2002.05709, appendix A.
    """
    view = Compose(
        (
            RandomResizedCrop(size),
            Flip(),
            ColorJitter(0.8, 0.8, 0.8, 0.2, probability=0.8),
            RandomGrayscale(0.2),
            GaussianBlur(probability=0.5),
        )
    )
    return TwoViews(view, view)


def simsiam_views(size: int) -> TwoViews:
    """SimSiam's views, which are MoCo v2's: crops from 20 % of the area, resized bilinearly.

    Source:
        Chen and He, arXiv:2011.10566.
    """
    view = Compose(
        (
            RandomResizedCrop(size, (0.2, 1.0), interpolation="bilinear"),
            ColorJitter(0.4, 0.4, 0.4, 0.1, probability=0.8),
            RandomGrayscale(0.2),
            GaussianBlur(probability=0.5),
            Flip(),
        )
    )
    return TwoViews(view, view)


def low_resource_released_views(size: int) -> TwoViews:
    """The low-resource paper's views: crops of 8 % to 10 % of the area, colours always jittered.

    Source:
        the paper's released code, SmallDataSSL, dataset.py.
    """
    view = Compose(
        (
            RandomResizedCrop(size, (0.08, 0.1), interpolation="bilinear"),
            Flip(),
            ColorJitter(0.4, 0.4, 0.2, 0.1, probability=1.0),
            RandomGrayscale(0.2),
            GaussianBlur(probability=0.5),
            Solarize(probability=0.1),
        )
    )
    return TwoViews(view, view)
