"""One image: opened from a file, bytes, Pillow's image or an array, and brought to a size."""

from __future__ import annotations

import functools
import io
import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ImageError, InputError, MissingExtra, UnreadableSource

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_PIXELS", "Pixels", "as_size", "open_image", "read_file", "resized"]

Pixels = NDArray[np.uint8]

MAX_PIXELS = 89_478_485  # of one image, as Pillow has it: 256 MB of colour
# No format that starts a program (EPS) or fetches something is among them.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error)
_MAX_BYTES = 8 * MAX_PIXELS + 2**20  # of a file: 16 bits of four channels, as they are
_SLACK = 1e-3  # by which interpolation may overshoot 0..1


def open_image(source: Any) -> Pixels:
    """An image as (h, w, c) uint8, c = 1 or 3; from a path, the bytes of a file, a Pillow image, or an array.

    A photograph is turned as its EXIF orientation says. Grey stays one channel, a palette becomes colours, transparent parts
    show white, 16 bits become 8. Arrays are (h, w) or (h, w, c) with c = 1, 3 or 4 (alpha): uint8, uint16 (0 to 65535), bool,
    other whole numbers of 0 to 255, or floats of 0 to 1. Of several frames the first is taken.

    Raises ImageError for what is no image, is damaged or cut off, or has more than MAX_PIXELS (before it is decoded),
    UnreadableSource for a file that is not there, MissingExtra where Pillow is needed and not installed.

    >>> open_image(np.array([[0.0, 1.0]])).tolist()
    [[[0], [255]]]
    """
    if isinstance(source, np.ndarray):
        return _of_array(source)
    if isinstance(source, str | os.PathLike):
        try:
            return _of_bytes(read_file(Path(source)))
        except ImageError as error:
            raise ImageError(f"{os.fspath(source)}: {error.what}", mend=error.mend) from error
    if isinstance(source, bytes | bytearray | memoryview):
        return _of_bytes(bytes(source))
    if type(source).__module__.partition(".")[0] == "PIL":
        return _decoded(source)
    if hasattr(source, "__array__"):  # tensors
        return _of_array(np.asarray(source))
    raise ImageError(f"{type(source).__name__} is no image", mend="give a path, bytes, a Pillow image or an array")


def resized(image: Pixels, size: tuple[int, int], channels: Literal[1, 3], *, crop: bool = True) -> Pixels:
    """(h, w, c) uint8 -> (height, width, channels) uint8, antialiased (bicubic).

    The proportions stay, and what is too long is cut off on both sides; without `crop` the image is squeezed instead. Grey from
    colours is their luma (ITU-R 601). Raises MissingExtra where Pillow is not installed, and needed.

    >>> resized(np.full((2, 4, 1), 7, np.uint8), (2, 2), 3).tolist()
    [[[7, 7, 7], [7, 7, 7]], [[7, 7, 7], [7, 7, 7]]]
    """
    height, width = image.shape[:2]
    if (height, width) != size or image.shape[2] > channels:
        module = _pillow()
        mode = "L" if channels == 1 else None
        picture = module.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        picture = picture.convert(mode) if mode else picture
        if (height, width) != size:
            box = _central(height, width, size) if crop else None
            picture = picture.resize(size[::-1], module.Resampling.BICUBIC, box=box)
        image = _with_channels(np.array(picture, dtype=np.uint8))
    return image if image.shape[2] == channels else np.repeat(image, 3, axis=2)


def as_size(size: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """A height and a width; a whole number is both. Raises InputError.

    >>> as_size(28), as_size([112, 92])
    ((28, 28), (112, 92))
    """
    sides = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and 0 < side <= 2**15 for side in sides):
        raise InputError(f"{size} is no size of an image", mend="give a number of pixels, or a height and a width")
    return int(sides[0]), int(sides[1])


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra.named("images", needed_by="image files") from error
    return Image


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those that this Pillow was built with."""
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def read_file(path: Path) -> bytes:
    """The bytes of a file that may be an image. Raises UnreadableSource, and ImageError where it is too large for one."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            raise UnreadableSource(f"there is no file {path}", mend="check the path; give the file of an image")
        if path.stat().st_size > _MAX_BYTES:
            raise ImageError(f"a file of more than {_MAX_BYTES:,} bytes", mend="make the image smaller, or leave it out")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        if isinstance(error, InputError):
            raise
        raise UnreadableSource(f"{path} cannot be read: {error}", mend="check that you may read it") from error


def _of_bytes(data: bytes) -> Pixels:
    if not data:
        raise ImageError("a file of zero bytes", mend="fetch the image again, or leave it out")
    module = _pillow()
    try:
        image = module.open(io.BytesIO(data), formats=_formats())
    except (module.DecompressionBombError, module.DecompressionBombWarning) as error:
        raise _too_large() from error
    except _DAMAGE as error:
        mend = f"give one of {', '.join(_formats())}; convert others first"
        raise ImageError("not an image of a known format, or cut off at its beginning", mend=mend) from error
    return _decoded(image)


def _too_large() -> ImageError:
    return ImageError(f"more than {MAX_PIXELS:,} pixels", mend="make the image smaller, or cut it into several")


def _decoded(image: Image.Image) -> Pixels:
    from PIL import ImageOps

    if image.width * image.height > MAX_PIXELS:  # known before anything is decoded
        raise _too_large()
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith(("I", "F")):  # 16 bits, or real numbers
            return _of_array(_sixteen_bits(np.asarray(image)))
        return _with_channels(np.array(_plain(image), dtype=np.uint8))
    except ImageError:
        raise
    except _DAMAGE as error:
        raise ImageError(f"damaged or cut off ({error})", mend="fetch the image again, or leave it out") from error


def _sixteen_bits(array: NDArray[Any]) -> NDArray[Any]:
    """Pillow has 16 bits in 32 where a format could hold more, and TIFF in either order of bytes."""
    if array.dtype.kind == "f" or array.min() < 0 or array.max() > 65535:
        return array
    return array.astype(np.uint16)


def _plain(image: Image.Image) -> Image.Image:
    """In mode L or RGB, on white."""
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        from PIL import Image

        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _of_array(array: NDArray[Any]) -> Pixels:
    whole = array[:, :, None] if array.ndim == 2 else array
    if whole.ndim != 3 or whole.shape[2] not in (1, 3, 4) or not whole.size:
        mend = "give (h, w) or (h, w, c) with c = 1, 3 or 4; np.moveaxis(image, 0, -1) puts channels last"
        raise ImageError(f"an array of shape {array.shape} is no image", mend=mend)
    pixels = _eight_bits(whole)
    if pixels.shape[2] < 4:
        return np.ascontiguousarray(pixels)
    shown = pixels[:, :, 3:].astype(np.uint16)
    on_white = (pixels[:, :, :3] * shown + 255 * (255 - shown) + 127) // 255
    return np.asarray(on_white, dtype=np.uint8)


def _eight_bits(array: NDArray[Any]) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind == "b":
        return np.where(array, np.uint8(255), np.uint8(0))
    if array.dtype.kind == "f":
        return _of_floats(array)
    if array.dtype.kind not in "iu":
        raise ImageError(f"an array of {array.dtype} is no image", mend="give numbers: uint8, or floats of 0 to 1")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise ImageError(f"pixels of {low} to {high}", mend="give uint8 of 0 to 255, uint16, or floats of 0 to 1")
    return array.astype(np.uint8)


def _of_floats(array: NDArray[Any]) -> Pixels:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low + high):
        raise ImageError("pixels that are NaN or infinite", mend="replace them, or leave the image out")
    if low < -_SLACK or high > 1 + _SLACK:
        raise ImageError(f"floats of {low:g} to {high:g}", mend="bring them to 0..1, or give uint8 of 0 to 255")
    return np.asarray(np.rint(np.clip(array, 0, 1) * 255), dtype=np.uint8)


def _with_channels(array: Pixels) -> Pixels:
    return array[:, :, None] if array.ndim == 2 else array


def _central(height: int, width: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box of the wanted proportions in the middle: left, top, right, bottom."""
    scale = min(height / size[0], width / size[1])
    tall, wide = size[0] * scale, size[1] * scale
    top, left = (height - tall) / 2, (width - wide) / 2
    return left, top, min(left + wide, width), min(top + tall, height)
