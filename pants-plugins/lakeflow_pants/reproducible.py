"""The same sources give the same wheel: in every sandbox, checkout and machine of one image.

Pants builds in a sandbox whose path is new each time, and Python compiles C with `-g`: the path
ends up in the debug information of the `.so` and changes the wheel's digest. Builds also write
the time of the build into the wheel.
"""

from __future__ import annotations

from collections.abc import Iterable

from pants.backend.python.target_types import BuildBackendEnvVarsField
from pants.engine.addresses import Address

_CHROOT = "{chroot}"
"""Pants replaces it with the path of the sandbox, and leaves it as it is in the cache key."""

_EPOCH = "315532800"
"""Seconds: 1980-01-01, the first date that a zip file can hold."""


def build_variables(variables: Iterable[str] | None, address: Address) -> tuple[str, ...]:
    """Add to the `env_vars` of a distribution those that make its wheel reproducible.

    CPPFLAGS because setuptools appends it; from 72 on CFLAGS would replace Python's own flags.
    Compilers use the last path that matches. Variables that the target sets win.
    """
    folder = f"{_CHROOT}/chroot/{address.spec_path}".rstrip("/")
    paths = dict.fromkeys((_CHROOT, f"{_CHROOT}/chroot", folder))
    defaults = {
        "CPPFLAGS": " ".join(f"-ffile-prefix-map={path}=." for path in paths),
        "SOURCE_DATE_EPOCH": _EPOCH,
    }
    own = tuple(variables or ())
    named = {variable.partition("=")[0] for variable in own}
    return (*own, *(f"{name}={value}" for name, value in defaults.items() if name not in named))


def install() -> None:
    """Make `build_variables` the value of the field `env_vars`, for `pants package` too.

    Pants has no union for a build's environment, and a plugin cannot replace a field.
    """
    original = BuildBackendEnvVarsField.compute_value.__func__  # type: ignore[attr-defined]

    def compute_value(
        cls: type[BuildBackendEnvVarsField], raw_value: Iterable[str] | None, address: Address
    ) -> tuple[str, ...]:
        return build_variables(original(cls, raw_value, address), address)

    if original.__module__ != __name__:
        BuildBackendEnvVarsField.compute_value = classmethod(  # type: ignore[method-assign]
            compute_value  # type: ignore[assignment]
        )
