"""A Pants engine with the Python backend and the plugin, in its own monorepo."""

# The `register` modules of Pants have no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Mapping

from pants.backend.python import register as python_backend
from pants.backend.python.subsystems.setup import PythonSetup
from pants.core import register as core_backend
from pants.engine.addresses import Address
from pants.engine.internals.parametrize import Parametrize
from pants.engine.rules import rule
from pants.engine.target import Targets
from pants.engine.unions import UnionMembership
from pants.testutil.rule_runner import QueryRule, RuleRunner

from lakeflow_pants import register
from lakeflow_pants.manifest import Manifest, ManifestRequest
from lakeflow_pants.ownership import needed_distributions

OPTIONS = (
    "--source-root-patterns=['/src']",
    "--python-interpreter-versions-universe=['3.9', '3.10', '3.11', '3.12', '3.13']",
    "--python-infer-use-rust-parser",
    "--python-bootstrap-search-path=['<PYENV>', '<PATH>']",
    "--lakeflow-deploy-launcher=src/launcher/main.py",
    "--lakeflow-deploy-project=monorepo",
)
ENVIRONMENT = {
    # As an argument of the command it would overrule the constraints of all targets.
    "PANTS_PYTHON_INTERPRETER_CONSTRAINTS": "['CPython>=3.10,<3.13']",
    # The inner Pants uses the pex of the outer one, and its cache: see the script ./pants.
    **{
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PANTS_PEX_", "PANTS_NAMED_CACHES_"))
    },
}
INHERITED = frozenset({"PATH", "HOME", "PYENV_ROOT", "SSL_CERT_FILE", "SSL_CERT_DIR"})

TWO_PYTHONS = (
    'interpreter_constraints=parametrize(py310=["CPython==3.10.*"], py311=["CPython==3.11.*"])'
)
LAUNCHER = """\
import json, os, sys

path = sys.argv[sys.argv.index("--manifest") + 1]
folder = os.path.dirname(path)
call = {"argv": sys.argv[1:], "files": sorted(os.listdir(folder)), "env": dict(os.environ)}
call["manifest"] = json.load(open(path))
with open(os.path.join(os.environ["LAKEFLOW_STATE_DIR"], "call.json"), "w") as file:
    json.dump(call, file)
sys.exit(9)
"""
EXTENSION = """\
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_c"};
PyMODINIT_FUNC PyInit__c(void) { return PyModule_Create(&module); }
"""
TWINS = """\
python_sources()
python_distribution(name="one", dependencies=[":twins"], provides=python_artifact(name="one"))
python_distribution(name="two", dependencies=[":twins"], provides=python_artifact(name="two"))
"""
THIRD_PARTY = """\
python_requirement(name="packaging", requirements=["packaging==24.0"])
"""
AT_THE_TOP = """\
python_distribution(
    name="all", dependencies=["3rdparty:packaging"], provides=python_artifact(name="all")
)
"""


def package(
    name: str, source: str = "", fields: str = "sdist=False", needs: str = "", pyproject: str = ""
) -> Mapping[str, str]:
    """The files of `src/<name>`: a module, a real `pyproject.toml` and a distribution of them."""
    return {
        f"src/{name}/__init__.py": source,
        f"src/{name}/pyproject.toml": (
            '[build-system]\nrequires = ["setuptools==80.9.0"]\n'
            'build-backend = "setuptools.build_meta"\n'
            f'[project]\nname = "{name}"\nversion = "1.0"\n'
            f'[tool.setuptools]\npackages = ["{name}"]\n'
            f'package-dir = {{ "{name}" = "." }}\n{pyproject}'
        ),
        f"src/{name}/BUILD": (
            "python_sources()\n"
            'resources(name="project", sources=["pyproject.toml", "*.c"])\n'
            'python_distribution(name="dist", generate_setup=False, '
            f'dependencies=[":{name}", ":project", {needs}], '
            f'provides=python_artifact(name="{name}"), {fields})\n'
        ),
    }


MONOREPO: Mapping[str, str] = {
    "BUILD": AT_THE_TOP,
    "3rdparty/BUILD": THIRD_PARTY,
    "src/launcher/main.py": LAUNCHER,
    "src/launcher/BUILD": "python_sources()\nfiles(name='not_code', sources=['*.py'])",
    "src/common/__init__.py": "X = 1",
    "src/common/BUILD": "python_sources()",
    "src/tools/deep/__init__.py": "X = 1",
    "src/tools/deep/BUILD": "python_sources()",
    "src/twins/__init__.py": "X = 1",
    "src/twins/BUILD": TWINS,
    "src/native/_c.c": EXTENSION,
    **package("base", "X = 1"),
    **package("core", "from base import X"),
    **package("job", "from core import X"),
    **package("lone", "from common import X"),
    **package("tools", "from tools.deep import X"),
    **package("digger", "from tools.deep import X"),
    **package("packer", "import packaging"),
    **package("core_by_python", "X = 1", TWO_PYTHONS + ", sdist=False"),
    **package("job_by_python", "from core_by_python import X", TWO_PYTHONS + ", sdist=False"),
    **package("user_of_variants", "from core_by_python import X"),
    **package(
        "native_by_python",
        "X = 1",
        TWO_PYTHONS + ", sdist=False",
        pyproject='ext-modules = [{ name = "native_by_python._c", sources = ["_c.c"] }]\n',
    ),
    "src/native_by_python/_c.c": EXTENSION,
    **package("half"),
    "src/half/one.py": "from base import X",
    "src/half/other.py": "from lone import X",
    **package("user_of_half", "from half.one import X"),
    **package("namer", needs='"src/lone:dist"'),
    **package("undecided", "from twins import X"),
    **package("decided", "from twins import X", needs='"src/twins:two"'),
    **package(
        "native",
        "X = 1",
        'sdist=False, interpreter_constraints=["CPython==3.11.*"]',
        pyproject='ext-modules = [{ name = "native._c", sources = ["_c.c"] }]\n',
    ),
    **package("fast", "from native import X"),
    **package("no_wheel", fields="wheel=False"),
}


class NeededDistributions(Targets):
    """What `needed_distributions` finds."""


@rule
async def find_needed(
    request: ManifestRequest, union_membership: UnionMembership, python_setup: PythonSetup
) -> NeededDistributions:
    needed = await needed_distributions(request.roots, union_membership, python_setup)
    return NeededDistributions(one.target for one in needed)


def make_runner() -> RuleRunner:
    runner = RuleRunner(
        rules=[
            *core_backend.rules(),
            *python_backend.rules(),
            *register.rules(),
            find_needed,
            QueryRule(NeededDistributions, [ManifestRequest]),
            QueryRule(Manifest, [ManifestRequest]),
        ],
        target_types=[*core_backend.target_types(), *python_backend.target_types()],
        objects={**python_backend.build_file_aliases().objects, "parametrize": Parametrize},
    )
    runner.set_options(OPTIONS, env=ENVIRONMENT, env_inherit=set(INHERITED))
    runner.write_files(dict(MONOREPO))
    return runner


def dist(name: str, **parameters: str) -> Address:
    return Address(f"src/{name}", target_name="dist", parameters=parameters)


def request_for(runner: RuleRunner, *addresses: Address) -> ManifestRequest:
    return ManifestRequest(
        roots=tuple(runner.get_target(address) for address in addresses),
        project="monorepo",
        command="pants lakeflow-deploy --",
        named=frozenset(addresses),
    )
