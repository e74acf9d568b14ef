"""Eight distributions of every kind that a monorepo has, deployed together with `src::`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.scratch import ADD

JOBS = ("pure", "native", "generated", "by_python", "by_resolve", "acme.tools", "with_data")
"""The module of each distribution that has an entry point; `library` has none."""

_PYPROJECT = """\
[build-system]
requires = ["setuptools==80.9.0"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.0"

{scripts}
[tool.setuptools]
packages = ["{module}"]
package-dir = {{ "{module}" = "." }}
{more}
"""
_SCRIPTS = """\
[project.scripts]
lakeflow-task = "{module}:main"
"""
_DIST = """\
python_distribution(
    name="dist",
    {fields}
    provides=python_artifact(name="{name}", version="1.0"),
    generate_setup=False,
    sdist=False,
)
"""
_BUILD = """\
python_sources()
resources(name="project", sources=["pyproject.toml"{resources}])
"""
_MAIN = """\
{imports}
import sys

def main():
    print("{module} on", sys.version_info[:2], "has", {value})
"""
PYTHON = """\
[python]
enable_resolves = true
resolves_generate_lockfiles = false
default_resolve = "one"
"""
RESOLVES = """
[python.resolves]
one = "3rdparty/one.lock.txt"
other = "3rdparty/other.lock.txt"
"""


def _package(
    module: str,
    value: str = "1",
    *,
    imports: str = "",
    fields: str = 'dependencies=[":{last}", ":project"],',
    resources: str = "",
    more: str = "",
    scripts: str = _SCRIPTS,
    sources: str = "",
) -> dict[str, str]:
    folder, last = f"src/{module.replace('.', '/')}", module.rpartition(".")[2]
    name = module.replace(".", "-").replace("_", "-")
    build = _BUILD.format(resources=resources)
    if sources:
        build = build.replace("python_sources()", sources)
    return {
        f"{folder}/__init__.py": _MAIN.format(module=module, imports=imports, value=value),
        f"{folder}/pyproject.toml": _PYPROJECT.format(
            name=name, module=module, scripts=scripts.format(module=module), more=more
        ),
        f"{folder}/BUILD": build + _DIST.format(name=name, fields=fields.format(last=last)),
    }


FILES: Mapping[str, str] = {
    **_package("library", scripts=""),
    "src/library/__init__.py": "VALUE = 'what library says'\n",
    # imports library, which its pyproject.toml does not declare
    **_package("pure", "VALUE", imports="from library import VALUE"),
    **_package(
        "native",
        "add(40, 2)",
        imports="from native._add import add  # pants: no-infer-dep",
        resources=', "_add.c"',
        more='ext-modules = [{ name = "native._add", sources = ["_add.c"] }]',
    ),
    "src/native/_add.c": ADD,
    "src/generated/__init__.py": _MAIN.format(
        module="generated", imports="from library import VALUE", value="VALUE"
    ),
    "src/generated/BUILD": (
        "python_sources()\n"
        'python_distribution(name="dist", dependencies=[":generated"], sdist=False,\n'
        '    provides=python_artifact(name="generated", version="1.0"),\n'
        '    entry_points={"console_scripts": {"lakeflow-task": "generated:main"}})\n'
    ),
    **_package(
        "by_python",
        fields='dependencies=[":{last}", ":project"],\n    interpreter_constraints=parametrize('
        'py310=["CPython==3.10.*"], py311=["CPython==3.11.*"]),',
    ),
    **_package(
        "by_resolve",
        sources='python_sources(resolve=parametrize("one", "other"))',
        fields='dependencies=parametrize(one=[":{last}@resolve=one", ":project"], '
        'other=[":{last}@resolve=other", ":project"]),',
    ),
    **_package("acme.tools"),
    **_package(
        "with_data",
        "__import__('importlib.resources').resources.files('with_data')"
        ".joinpath('data.json').read_text()",
        resources=', "data.json"',
        more='package-data = { with_data = ["data.json"] }',
    ),
    "src/with_data/data.json": '{"some": "data"}',
    "3rdparty/one.lock.txt": "",
    "3rdparty/other.lock.txt": "",
}
