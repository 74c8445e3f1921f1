"""What libraries import and a command never uses, imported only where it is used after all.

torchmetrics imports all of SciPy's signal processing for its audio metrics, grad-cam scikit-learn for its kernels:
together a second of each command. torch imports its compiler, with SymPy and Triton, to say that an optimizer's step is
not compiled: another second. And so long takes what is collected as garbage while libraries are imported, where next to
nothing is: each collection looks at all that is there already.
"""

import atexit
import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from inspect import isfunction
from types import ModuleType
from typing import Any, ClassVar

COMPILER = "torch._dynamo"

UNUSED: Mapping[str, Sequence[str]] = {
    "torchmetrics": ["scipy.signal"],
    "pytorch_grad_cam": ["sklearn.decomposition"],
    "torchvision.ops.roi_align": [f"{COMPILER}.utils"],
}
"""Library -> modules that it takes functions and classes from while it is imported, and calls none of."""

LARGE = ("torch", "lightning")
"""Libraries that are imported before anything of a run is made, most of all others as a part of them."""


def import_leanly() -> None:
    """Let the libraries of `UNUSED` be imported without what they don't use, in a process that is a verb's own.

    `LARGE` ones are imported `uncollected`, and in place of torch's compiler a stand-in, until it is needed.
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
        if fullname == COMPILER and not _Compiler.is_needed:
            return ModuleSpec(fullname, _StandIn(), is_package=True)
        if fullname.startswith(f"{COMPILER}.") and isinstance(sys.modules.get(COMPILER), _Compiler):
            real_compiler()
            return ModuleSpec(fullname, _There(import_module(fullname)))
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


# torch's compiler -----------------------------------------------------------------------------------------------------


class _Compiled(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return _Compiler.is_needed and isinstance(instance, real_compiler().OptimizedModule)


class _Compiler(ModuleType):
    """What torch and Lightning want of `torch._dynamo` where nothing is compiled; all else is the real one's."""

    is_needed: ClassVar = False

    class OptimizedModule(metaclass=_Compiled):
        """What `torch.compile` returns: nothing is, until something is compiled."""

    @staticmethod
    def graph_break(*args: Any, **settings: Any) -> None:
        if _Compiler.is_needed:
            real_compiler().graph_break(*args, **settings)

    @staticmethod
    def disable(fn: Callable[..., Any], *args: Any, **settings: Any) -> Callable[..., Any]:
        """Return a function that the compiler leaves alone, should there be one."""

        @wraps(fn)
        def left_alone(*given: Any, **named: Any) -> Any:
            if not _Compiler.is_needed:
                return fn(*given, **named)
            return real_compiler().disable(fn, *args, **settings)(*given, **named)

        return left_alone if isfunction(fn) else real_compiler().disable(fn, *args, **settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system and `inspect` ask for
            raise AttributeError(name)
        return getattr(real_compiler(), name)


def real_compiler() -> Any:
    """Return `torch._dynamo`, from now on in its own place."""
    _Compiler.is_needed = True
    if isinstance(sys.modules.get(COMPILER), _Compiler):
        del sys.modules[COMPILER]
    return import_module(COMPILER)


class _StandIn(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Compiler(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


class _There(Loader):
    """Gives the import system a module that has been imported meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
