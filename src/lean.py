"""What libraries import and a command never uses, imported only where it is used after all.

torchmetrics imports all of SciPy's signal processing for its audio metrics, grad-cam scikit-learn for its kernels:
together a second of each command.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

UNUSED: Mapping[str, Sequence[str]] = {"torchmetrics": ["scipy.signal"], "pytorch_grad_cam": ["sklearn.decomposition"]}
"""Library -> modules that it takes functions and classes from while it is imported, and calls none of."""


def import_leanly() -> None:
    """Let the libraries of `UNUSED` be imported without what they don't use, in a process that is a verb's own."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def put_off(names: Sequence[str]) -> Iterator[None]:
    """Let the block take functions and classes from these modules, which are imported when one of them is called."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = _Later(name)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class _Later(ModuleType):
    """Has each name, as a function that imports the module and calls what is called so there."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # what the import system asks for
            raise AttributeError(name)
        return lambda *args, **settings: getattr(import_module(self.__name__), name)(*args, **settings)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in UNUSED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Leanly(spec.loader, UNUSED[fullname])
        return spec


class _Leanly(Loader):
    """Runs a package's own loader with the modules `put_off`."""

    def __init__(self, loader: Loader, names: Sequence[str]) -> None:
        self._loader, self._names = loader, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # resources and the like

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with put_off(self._names):
            self._loader.exec_module(module)
