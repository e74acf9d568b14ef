"""Import the parts of databricks-sdk that are used, and defer the rest.

`import databricks.sdk` takes most of a second: the package's `__init__` imports all services, and
its authentication imports Google's, which imports cryptography. The HTTP client in
`databricks.sdk.core` needs none of that for a token.

A deferred module is in `sys.modules` without having run. Looking up something in it that it does
not have yet runs it (PEP 562), so every program gets what it would get otherwise, only later. If an
SDK is built so that this does not work, it is imported as usual.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from typing import Any

_PACKAGE = "databricks.sdk"
_IMPORTED = ("core", "errors")
_DEFERRED = (
    _PACKAGE,
    "databricks.sdk.azure",  # imports a service for a type annotation, and that protobuf
    "google.auth",
    "google.auth.impersonated_credentials",
    "google.oauth2.service_account",
)
_lock = threading.RLock()


def load() -> None:
    """Import `databricks.sdk.core` and `databricks.sdk.errors` with as little else as possible.

    They are the SDK's own modules under their own names: `from databricks.sdk.core import Config`
    finds them. A program that then uses `databricks.sdk` itself gets all of it.
    """
    with _lock:
        if _PACKAGE not in sys.modules:
            try:
                for name in _DEFERRED:
                    _defer(name)
                _import_parts()
            except (AttributeError, ImportError):
                _undo()
        _import_parts()


def _import_parts() -> None:
    for name in _IMPORTED:
        importlib.import_module(f"{_PACKAGE}.{name}")


def _defer(name: str) -> None:
    """Put a module into `sys.modules` that runs when something is looked up in it."""
    if name in sys.modules or importlib.util.find_spec(name.partition(".")[0]) is None:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def look_up(attribute: str) -> Any:
        with _lock:
            is_package = bool(spec.submodule_search_locations)
            if is_package and importlib.util.find_spec(f"{name}.{attribute}") is not None:
                return importlib.import_module(f"{name}.{attribute}")  # from . import NAME
            if module.__dict__.pop("__getattr__", None) is not None:
                try:
                    loader.exec_module(module)
                except BaseException:
                    module.__dict__["__getattr__"] = look_up
                    raise
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = look_up
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    vars(sys.modules[parent])[child] = module


def _undo() -> None:
    """Remove the deferred modules, and what was imported of the SDK."""
    for name in list(sys.modules):
        if name == _PACKAGE or name.startswith(f"{_PACKAGE}.") or name in _DEFERRED:
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(child, None)
