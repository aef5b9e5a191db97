"""Stand-ins for four libraries that training imports and a bare PyTorch lacks, so that a benchmark runs from a checkout.

With jaxtyping's no shape is checked, structlog's prints; of safetensors and SciPy nothing is ever called.
"""

import importlib
import sys
from types import ModuleType
from typing import Any, NoReturn


def install_missing() -> list[str]:
    """Put a stand-in where an import fails; the names of those."""
    stand_ins = {"jaxtyping": _jaxtyping, "structlog": _structlog, "safetensors.torch": _safetensors, "scipy": _scipy}
    missing = [name for name in stand_ins if not _importable(name)]
    for name in missing:
        stand_ins[name]()
    return [name.partition(".")[0] for name in missing]


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


class _Annotation:
    """`Float32[Tensor, "batch classes"]` is then `Tensor`."""

    def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
        return item[0]


def _jaxtyping() -> None:
    names = ("Bool", "Float", "Float32", "Float64", "Int", "Int64", "Integer", "UInt8")
    _put(_module("jaxtyping", **dict.fromkeys(names, _Annotation)))


class _Logger:
    def info(self, event: str, **values: object) -> None:
        self._print("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        self._print("warning", event, values)

    @staticmethod
    def _print(level: str, event: str, values: dict[str, object]) -> None:
        print(level, event, *(f"{name}={value}" for name, value in values.items()), file=sys.stderr)


def _structlog() -> None:
    _put(_module("structlog", get_logger=lambda *_: _Logger()))


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("safetensors is not installed: a stand-in was called")


def _safetensors() -> None:
    below = _module("safetensors.torch", load=_refuse, save=_refuse)
    _put(_module("safetensors", torch=below))
    _put(below)


def _scipy() -> None:
    # The noises that need it are imported with the specs, and none is drawn.
    _put(_module("scipy"))


def _module(name: str, **values: object) -> ModuleType:
    module = ModuleType(name, "A stand-in: see stand_ins.")
    vars(module).update(values)
    return module


def _put(module: ModuleType) -> None:
    sys.modules[module.__name__] = module
