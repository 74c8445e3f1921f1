"""What libraries import and a command never uses, imported only where it is used after all.

torchmetrics imports all of SciPy's signal processing for its audio metrics, grad-cam scikit-learn for its kernels:
together a second of each command. And what is collected as garbage while libraries are imported, where next to nothing
is: each collection looks at all that is there already, another second.
"""

import atexit
import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

UNUSED: Mapping[str, Sequence[str]] = {"torchmetrics": ["scipy.signal"], "pytorch_grad_cam": ["sklearn.decomposition"]}
"""Library -> modules that it takes functions and classes from while it is imported, and calls none of."""

LARGE = ("torch", "lightning")
"""Libraries that are imported before anything of a run is made, most of all others as a part of them."""


def import_leanly() -> None:
    """Let the libraries of `UNUSED` be imported without what they don't use, in a process that is a verb's own.

    `LARGE` ones are imported `uncollected`.
    """
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


@contextmanager
def uncollected() -> Iterator[None]:
    """Make objects that last as long as the process: no garbage is collected, and later collections pass over them.

    What else there is lasts as long, too: nothing that is to go may be there yet (gc.freeze).
    """
    if not gc.isenabled():  # within another such block, or by somebody's choice
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # else nanobind, in triton, tells of each of its objects that it is left over
        gc.enable()


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
        if fullname not in UNUSED and fullname not in LARGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Leanly(spec.loader, UNUSED.get(fullname, ()), large=fullname in LARGE)
        return spec


class _Leanly(Loader):
    """Runs a package's own loader with the modules `put_off`, and where it is `large` `uncollected`."""

    def __init__(self, loader: Loader, names: Sequence[str], *, large: bool) -> None:
        self._loader, self._names, self._large = loader, names, large

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # resources and the like

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with put_off(self._names), uncollected() if self._large else nullcontext():
            self._loader.exec_module(module)
