"""DICOM: the first frame, in the units of its rescale, with the window that it asks for (PS3.3, C.7.6.3 and C.11)."""

import warnings
from typing import Any, BinaryIO

import numpy as np

from ..depth import Deep, Limits
from ..jpeg_cost import MAX_PIXELS
from ..refusal import UnreadableImageError

DEFLATED = b"1.2.840.10008.1.2.1.99"
"""A transfer syntax whose header is packed: how large it is, is known only when it has been unpacked."""


def read_dicom(file: BinaryIO) -> Deep:
    """Return the samples of a DICOM file; `UnreadableImageError` where it has none, or they can't be decoded."""
    import pydicom
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    file.seek(0)
    if DEFLATED in file.read(2048):
        raise UnreadableImageError("DICOM with a deflated header: save it in another transfer syntax")
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it reads all the same
        data = pydicom.dcmread(file)
        if "PixelData" not in data:
            raise UnreadableImageError("DICOM without a picture")
        if int(data.Rows) * int(data.Columns) > MAX_PIXELS:
            raise UnreadableImageError(f"too large (over {MAX_PIXELS / 1e6:.0f} million pixels)")
        try:
            pixels = pixel_array(data, index=0)
        except (RuntimeError, NotImplementedError) as error:
            name = data.file_meta.TransferSyntaxUID.name
            reason = f"DICOM ({name}): pip install 'pylibjpeg[all]', or save it uncompressed"
            raise UnreadableImageError(reason) from error
        kind = str(data.PhotometricInterpretation)
        if kind == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, data)
    grey = pixels.ndim == 2
    values = pixels[..., None] if grey else pixels
    if grey:
        values = _rescaled(values, float(data.get("RescaleSlope", 1) or 1), float(data.get("RescaleIntercept", 0) or 0))
    height, width, count = values.shape
    return Deep(
        (width, height),
        lambda top, bottom: values[top:bottom],
        min(count, 3),
        inverted=kind == "MONOCHROME1",
        own=_window(data) if grey else None,
    )


def _rescaled(values: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return such as Hounsfield units, as whole numbers where they are."""
    if slope == 1 and intercept == 0:
        return values
    if slope == int(slope) and intercept == int(intercept):
        return values.astype(np.int32) * int(slope) + int(intercept)
    return values.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _window(data: Any) -> Limits | None:
    """Return the ends of the first window (C.11.2.1.2 and C.11.2.1.3.2); None without one."""
    centre, width = (_first(data.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width < 1:
        return None
    if data.get("VOILUTFunction", "LINEAR") == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1.0)
    return centre - width / 2, centre + width / 2


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value if isinstance(value, int | float | str) else next(iter(value)))
    except (TypeError, ValueError, StopIteration):
        return None
