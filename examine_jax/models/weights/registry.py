"""All families of weights that can be read from a folder. A new family is added here."""

from examine_jax.models.weights.beit import BEiTFamily
from examine_jax.models.weights.clip import CLIPFamily
from examine_jax.models.weights.conch import CONCHFamily
from examine_jax.models.weights.convnext import (
    BareConvNeXtFamily,
    ConvNeXtFamily,
    TimmConvNeXtFamily,
)
from examine_jax.models.weights.densenet import BareDenseNetFamily, TimmDenseNetFamily
from examine_jax.models.weights.dinov2 import DINOv2Family
from examine_jax.models.weights.dinov3 import DINOv3Family
from examine_jax.models.weights.dinov3_convnext import DINOv3ConvNeXtFamily
from examine_jax.models.weights.efficientnet import (
    BareEfficientNetFamily,
    EfficientNetFamily,
    TimmEfficientNetFamily,
)
from examine_jax.models.weights.facebook_dinov2 import FacebookDINOv2Family
from examine_jax.models.weights.facebook_dinov3 import FacebookDINOv3Family
from examine_jax.models.weights.imported import BareFamily, Family
from examine_jax.models.weights.open_clip import OpenCLIPFamily
from examine_jax.models.weights.resnet import BareResNetFamily, ResNetFamily, TimmResNetFamily
from examine_jax.models.weights.sam import BareSAMFamily, SAMFamily, TimmSAMFamily
from examine_jax.models.weights.siglip import SigLIPFamily
from examine_jax.models.weights.swin import BareSwinFamily, SwinFamily, TimmSwinFamily
from examine_jax.models.weights.timm_beit import TimmBEiTFamily
from examine_jax.models.weights.timm_dinov3 import TimmDINOv3Family
from examine_jax.models.weights.timm_eva import TimmEVAFamily
from examine_jax.models.weights.timm_vit import TimmViTFamily
from examine_jax.models.weights.vit import ViTFamily
from examine_jax.models.weights.vit_mae import ViTMAEFamily

_FAMILIES: tuple[Family, ...] = (
    ViTMAEFamily(),
    ViTFamily(),
    DINOv2Family(),
    DINOv3Family(),
    TimmViTFamily(),
    CONCHFamily(),
    TimmDINOv3Family(),
    BEiTFamily(),
    TimmBEiTFamily(),
    TimmEVAFamily(),
    FacebookDINOv2Family(),
    FacebookDINOv3Family(),
    ResNetFamily(),
    TimmResNetFamily(),
    ConvNeXtFamily(),
    TimmConvNeXtFamily(),
    DINOv3ConvNeXtFamily(),
    EfficientNetFamily(),
    TimmEfficientNetFamily(),
    TimmDenseNetFamily(),
    SwinFamily(),
    TimmSwinFamily(),
    SAMFamily(),
    TimmSAMFamily(),
    CLIPFamily(),
    SigLIPFamily(),
)
_TRUNKS: tuple[Family, ...] = (TimmDINOv3Family(pooled=True), *_FAMILIES)
FAMILIES: tuple[Family, ...] = (*_FAMILIES, OpenCLIPFamily(trunks=_TRUNKS))

# Those that the names of the tensors tell, in a file without a configuration.
BARE_FAMILIES: tuple[BareFamily, ...] = (
    BareConvNeXtFamily(),
    BareResNetFamily(),
    BareSwinFamily(),
    BareSAMFamily(),
    BareEfficientNetFamily(),
    BareDenseNetFamily(),
)
