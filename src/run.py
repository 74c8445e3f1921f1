"""The address that notebooks know: `from src.run import RunFolder`."""

from .runs.folder import RunFolder

__all__ = ["RunFolder"]
