"""The files that a network can be exported to. No torch here: what is wrong with a request is said at once."""

from dataclasses import dataclass
from importlib.util import find_spec

from omegaconf import DictConfig

from ..errors import InputError


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffix, who runs it, and the packages beyond our own dependencies that writing it needs."""

    suffix: str
    runner: str
    packages: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format(".onnx", "ONNX Runtime", ("onnx", "onnxscript", "onnxruntime")),
    "torch_export": Format(".pt2", "torch.export"),
}


def check_request(cfg: DictConfig) -> None:
    """Raise `InputError` for an unknown format and for missing packages."""
    if cfg.format not in FORMATS:
        raise InputError(f"format={cfg.format} is unknown: take {' or '.join(FORMATS)}")
    missing = [package for package in FORMATS[cfg.format].packages if find_spec(package) is None]
    if missing:
        raise InputError(f'format={cfg.format} needs {", ".join(missing)}: pip install -e ".[export]"')
