"""A matrix in an .npy file, mapped into memory, so that chunks are read on demand."""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from examine_jax.common.shapes import Float


@dataclasses.dataclass(frozen=True)
class NpyShard:
    """An .npy file of features. Made by `open`.

    Attributes:
        path: of the file.
        rows, width: its shape.
        dtype: of its entries, in the machine's byte order.
    """

    path: pathlib.Path
    rows: int
    width: int
    dtype: np.dtype

    @classmethod
    def open(cls, path: pathlib.Path) -> "NpyShard":
        """Reads the header.

        Raises:
            ValueError: the file is no .npy file, holds pickled objects, is cut short, or holds no
                matrix of float16, float32 or float64 with rows and columns.
            OSError: the file cannot be read.
        """
        array = _mapped(path)
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(
                f"{path} has shape {array.shape}: features are a matrix [N, D], one row an image, "
                "neither empty"
            )
        if array.dtype.kind != "f" or array.dtype.itemsize > 8:
            raise ValueError(
                f"{path} holds {array.dtype}: features are float16, float32 or float64; save "
                "array.astype('float32')"
            )
        return cls(path, array.shape[0], array.shape[1], array.dtype.newbyteorder("="))

    def chunks(
        self, rows: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Float[np.ndarray, "chunk width"]]:
        """The rows from `start` to `stop` (None: the last) in order, at most `rows` at a time.

        Raises:
            ValueError: as `open`; the file has changed since.
        """
        array = _mapped(self.path)
        if array.shape != (self.rows, self.width) or array.dtype.newbyteorder("=") != self.dtype:
            raise ValueError(
                f"{self.path} has changed while it was read: shape {array.shape}, {array.dtype}"
            )
        end = self.rows if stop is None else stop
        for first in range(start, end, rows):
            yield np.array(array[first : min(first + rows, end)], self.dtype, order="C")

    def image_names(self, column: str) -> list[str] | None:
        """None: an .npy file holds no names."""
        return None


def _mapped(path: pathlib.Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    # numpy takes a file that is no .npy file for a pickle, and refuses it.
    except (ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} is no .npy file of numbers, or is cut short ({reason}); save it with "
            "numpy.save(file, array)"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{path} holds several arrays; give an .npy file with one matrix [N, D]")
    return array
