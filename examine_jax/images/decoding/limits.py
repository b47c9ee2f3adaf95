"""What decoding one file may cost: time and memory, by its size in bytes and pixels."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on one file. They grow with its bytes, and with the pixels that its header declares.

    A header may lie, so each byte of the file allows for no more than `pixels_per_byte` pixels.

    Attributes:
        seconds: computing time, of all threads together. It does not depend on how busy the
            machine is.
        seconds_per_megabyte, seconds_per_megapixel: added to it.
        waiting_seconds: time by the clock: for a decoder that waits without computing.
        memory: bytes above what the process holds before the file.
        memory_per_pixel: bytes added to it: decoded samples, copies on the way to the result, and
            a description's. JPEG and PNG take 4 bytes a pixel; WebP 4, and 8 where it is lossless;
            TIFF little, or its samples where a strip of the whole image is compressed other than
            by deflate or LZMA; each 3 more, or 6 of 16 bits, where images are described.
        pixels_per_byte: above the best compression of images in use.
    """

    seconds: float = 3.5
    seconds_per_megabyte: float = 1.0
    seconds_per_megapixel: float = 1.0
    waiting_seconds: float = 60.0
    memory: int = 2**30
    memory_per_pixel: int = 32
    pixels_per_byte: int = 1000

    def time_for(self, size: int, pixels: int) -> float:
        """Computing time in seconds for a file of this many bytes that declares these pixels."""
        pixels = min(pixels, self.pixels_per_byte * size)
        return (
            self.seconds
            + self.seconds_per_megabyte * size / 1e6
            + self.seconds_per_megapixel * pixels / 1e6
        )

    def memory_for(self, size: int, pixels: int) -> int:
        """Bytes of memory for a file of this many bytes that declares these pixels."""
        return (
            self.memory
            + 2 * size
            + self.memory_per_pixel * min(pixels, self.pixels_per_byte * size)
        )
