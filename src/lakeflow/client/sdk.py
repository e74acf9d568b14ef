"""databricks-sdk, no more of it than is used.

`import databricks.sdk` runs the package's `__init__`, which loads every service there is: most of
a second. The client in `databricks.sdk.core` needs none of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from typing import Any

_PACKAGE = "databricks.sdk"
_PARTS = ("core", "errors")
_lock = threading.RLock()


def load() -> None:
    """Load `databricks.sdk.core` and `databricks.sdk.errors`, and no more than these load.

    They are the SDK's own modules, unchanged and under their own names; `from databricks.sdk.core
    import Config` then finds them. A program that goes on to use `databricks.sdk` itself gets all
    of it: the package runs its `__init__` when something is first looked up in it that is not there
    yet. Where the SDK is built so that this does not work, it is imported whole.
    """
    with _lock:
        if _PACKAGE not in sys.modules:
            _enter_lazily()
            try:
                _import_parts()
            except (AttributeError, ImportError):
                _forget()
        _import_parts()


def _import_parts() -> None:
    for name in _PARTS:
        importlib.import_module(f"{_PACKAGE}.{name}")


def _enter_lazily() -> None:
    """Put the package into `sys.modules` with its `__init__` not yet run."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.loader is None or not spec.submodule_search_locations:
        return
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def look_up(name: str) -> Any:
        with _lock:
            if importlib.util.find_spec(f"{_PACKAGE}.{name}") is not None:  # from . import NAME
                return importlib.import_module(f"{_PACKAGE}.{name}")
            if package.__dict__.pop("__getattr__", None) is not None:
                loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = look_up  # PEP 562
    sys.modules[_PACKAGE] = package
    vars(sys.modules["databricks"])["sdk"] = package


def _forget() -> None:
    """Undo what a lazy import has left."""
    for name in [n for n in sys.modules if n == _PACKAGE or n.startswith(f"{_PACKAGE}.")]:
        del sys.modules[name]
    vars(sys.modules["databricks"]).pop("sdk", None)
