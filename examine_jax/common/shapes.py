"""Shape annotations: jaxtyping's if it is installed, otherwise `Any`.

The tests check them at run time. The scorer must import with jax and numpy alone, so jaxtyping is
not a requirement.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int, Key, Num, PyTree, Shaped, UInt8
else:
    try:
        from jaxtyping import Array, Bool, Float, Int, Key, Num, PyTree, Shaped, UInt8
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, _: Any) -> Any:
                return Any

        Array = Any
        Bool = Float = Int = Key = Num = PyTree = Shaped = UInt8 = _Unchecked

__all__ = ["Array", "Bool", "Float", "Int", "Key", "Num", "PyTree", "Shaped", "UInt8"]
