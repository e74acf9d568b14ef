from __future__ import annotations

from pants.backend.python.target_types import BuildBackendEnvVarsField
from pants.engine.addresses import Address

from lakeflow_pants import reproducible
from lakeflow_pants.reproducible import build_variables

HERE = Address("src/fast", target_name="dist")


def test_paths_of_the_sandbox_are_left_out_the_most_specific_last() -> None:
    paths = ["{chroot}", "{chroot}/chroot", "{chroot}/chroot/src/fast"]
    flags = " ".join(f"-ffile-prefix-map={path}=." for path in paths)
    assert build_variables(None, HERE) == (f"CPPFLAGS={flags}", "SOURCE_DATE_EPOCH=315532800")


def test_variables_of_the_target_win() -> None:
    assert build_variables(["CPPFLAGS=-DX", "SOURCE_DATE_EPOCH"], HERE) == (
        "CPPFLAGS=-DX",
        "SOURCE_DATE_EPOCH",
    )


def test_the_field_of_a_distribution_has_them_however_often_the_plugin_is_loaded() -> None:
    reproducible.install()
    reproducible.install()
    assert BuildBackendEnvVarsField(("X=1",), HERE).value == build_variables(["X=1"], HERE)
