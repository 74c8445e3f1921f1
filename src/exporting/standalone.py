"""Classify pictures with an exported network, without ResLens: python example.py PICTURE …

`python -m src.export` puts this file beside each network, as example.py. It needs NumPy, Pillow and, for an .onnx file,
onnxruntime, for a .pt2 file torch. What it has to know of the network is written in the network's own file.
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # others may start programs
LONGEST = 8  # of a strip that is longer than so many times its shorter side, the centre counts
# What undoes the EXIF orientations 2 to 8.
UPRIGHT = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")

Network = Callable[[np.ndarray], np.ndarray]


def open_network(file: Path) -> tuple[Network, Mapping[str, str]]:
    """The network, from pictures uint8 (N, C, S, S) to logits (N, K), and what its file says of it."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda images: session.run(["logits"], {"images": images})[
            0
        ], session.get_modelmeta().custom_metadata_map
    import torch

    inside = {"metadata.json": ""}
    network = torch.export.load(file, extra_files=inside).module()
    return lambda images: network(torch.from_numpy(images)).numpy(), json.loads(inside["metadata.json"])


def load_image(file: Path | str, image_size: int, in_channels: int, interpolation: str, decode: str) -> np.ndarray:
    """A picture as the network was trained on it: uint8 (C, S, S), its channels RGB or, if there is one, grey."""
    with Image.open(file, formats=FORMATS) as image:
        if decode == "fast":
            image.draft(None, (2 * image_size, 2 * image_size))  # a large JPEG at half, a quarter or an eighth of it
        image.load()
        orientation = 1
        with suppress(Exception):  # a broken EXIF block leaves the pixels alone
            orientation = image.getexif().get(0x0112, 1)
        picture = to_channels(image, in_channels)
    if orientation in range(2, 9):
        picture = picture.transpose(Image.Transpose[UPRIGHT[orientation - 2]])
    whole = decode == "exact"
    pixels = np.array(resize_and_crop(picture, image_size, Image.Resampling[interpolation.upper()], whole))
    return pixels[None] if in_channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def to_channels(image: Image.Image, in_channels: int) -> Image.Image:
    """8 bits a channel, L (1 channel) or RGB (3), transparency laid on white."""
    mode = "L" if in_channels == 1 else "RGB"
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(to_8_bits(np.asarray(image), whole=image.mode.startswith("I"))).convert(mode)
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        image = page
    return (image.convert("RGB") if image.mode in ("P", "RGBA") else image).convert(mode)


def to_8_bits(values: np.ndarray, whole: bool) -> np.ndarray:
    """Grey of 16 or 32 bits, or floats: whole numbers to 65535, fractions to 1 and numbers to 255 become 0…255."""
    grey = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    narrow, wide = (65535.0, 65535.0) if whole else (1.0, 255.0)
    top = narrow if high <= narrow else wide
    if low < 0 or high > top:  # no agreed range: stretched from the least to the largest
        grey, top = grey - low, (high - low) or 1.0
    return np.rint(grey * (255.0 / top)).astype(np.uint8)


def resize_and_crop(picture: Image.Image, size: int, resampling: Image.Resampling, whole: bool) -> Image.Image:
    """The shorter side resized to `size` pixels, then the central square; `whole`: of a strip not only its centre."""
    is_strip = max(picture.size) > LONGEST * min(picture.size)
    if is_strip and not whole:
        picture = central(picture, *(min(side, LONGEST * min(picture.size)) for side in picture.size))
    shorter = min(picture.size)
    width, height = (max(size, int(size * side / shorter)) for side in picture.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if is_strip and whole:  # of what it would become, the square alone
        x, y = picture.width / width, picture.height / height
        box = (left * x, top * y, (left + size) * x, (top + size) * y)
        return picture.resize((size, size), resampling, box=box)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), resampling)
    return picture.crop((left, top, left + size, top + size))


def central(picture: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def visible(text: str) -> str:
    """The text on one line: characters that would steer a terminal, as in a name with a line break, as Python writes
    them. The names themselves are what `json.loads(…["class_names"])` gives."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def main(pictures: list[str]) -> None:
    """One line a picture: its class or labels, how sure the network is of each, and the file."""
    if not pictures:
        sys.exit("say which: python example.py PICTURE …")
    here = Path(__file__).parent
    network, told = open_network(min(file for file in here.iterdir() if file.suffix in (".onnx", ".pt2")))
    names = json.loads(told["class_names"])
    geometry = int(told["image_size"]), int(told["in_channels"]), told["interpolation"], told["decode"]
    unread = 0
    for file in pictures:
        try:
            image = load_image(file, *geometry)
        except Exception as error:  # Pillow raises nearly anything on what is no picture
            print(visible(f"{file} can't be read: {error}"), file=sys.stderr)
            unread += 1
            continue
        logits = network(image[None])[0].astype(np.float64) / float(told.get("temperature", 1))
        if "thresholds" in told:  # several labels a picture
            likely = 1 / (1 + np.exp(-logits))
            at = json.loads(told["thresholds"])
            labels = [f"{name} {share:.4f}" for name, share, least in zip(names, likely, at) if share >= least]  # noqa: B905
            print(visible(f"{', '.join(labels) or 'no label'}  {file}"))
            continue
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        print(visible(f"{names[shares.argmax()]}  {shares.max():.4f}  {file}"))
    sys.exit(unread > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
