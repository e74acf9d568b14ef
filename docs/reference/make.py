"""Makes the reference pages beside it from the command's own help and from docstrings.

./pants run docs/reference/make.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

import lakeflow
from lakeflow.cli import app

_WIDTH = 88
_MADE = "This page is made by `./pants run docs/reference/make.py`."


def main() -> None:
    """Write the pages; the working folder is that of the repo."""
    for name, text in pages().items():
        Path("docs/reference", name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The pages by their names."""
    return {"cli.md": _cli(), "python.md": _python()}


def _cli() -> str:
    parts = [
        "# The command `lakeflow`",
        (
            "What `--help` says of each command. Exit codes and what `--output json` prints:\n"
            f"[output.md](../output.md). {_MADE}"
        ),
    ]
    for words, command in _commands(typer.main.get_command(app), ("lakeflow",)):
        context = command.make_context(
            " ".join(words),
            [],
            resilient_parsing=True,
            terminal_width=80,
            help_option_names=["-h", "--help"],
        )
        said = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"## `{' '.join(words)}`\n\n```text\n{said}\n```")
    return "\n\n".join(parts) + "\n"


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, (*words, name))


def _python() -> str:
    parts = [
        "# The Python interface",
        (
            "All of it can be imported from `lakeflow`, which loads a name when it is first used.\n"
            f"Paths are `pathlib.Path`, times Unix milliseconds, sizes bytes. {_MADE}"
        ),
    ]
    names = [name for name in lakeflow.__all__ if name != "__version__"]
    names.sort(key=lambda name: (name != "Launcher", name))
    for name in names:
        found = getattr(lakeflow, name)
        parts.append(f"## `{name}`\n\n{_class(found)}")
        if name == "Launcher":
            parts += [f"### `{m}`\n\n{_method(m, getattr(found, m))}" for m in _own(found)]
    return "\n\n".join(parts) + "\n"


def _own(kind: type) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]


def _class(kind: type) -> str:
    doc = inspect.getdoc(kind) or ""
    if not dataclasses.is_dataclass(kind):
        if issubclass(kind, Exception) or "__init__" not in vars(kind):
            return doc
        return f"{_code(kind.__name__, inspect.signature(kind))}\n\n{doc}"
    told = _told(kind)
    rows = []
    for field in dataclasses.fields(kind):
        more = f": {told[field.name]}" if field.name in told else ""
        rows.append(f"- `{field.name}: {field.type}`{more}")
    for name, value in vars(kind).items():
        if isinstance(value, property):
            rows.append(f"- `{name}` (property): {' '.join((value.__doc__ or '').split())}")
    return f"{doc}\n\n" + "\n".join(rows)


def _told(kind: type) -> dict[str, str]:
    """What stands as a text under the fields of a class."""
    source = textwrap.dedent(inspect.getsource(kind))
    (defined,) = ast.parse(source).body
    assert isinstance(defined, ast.ClassDef)
    told = {}
    for field, after in zip(defined.body, defined.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            told[field.target.id] = " ".join(str(after.value.value).split())
    return told


def _method(name: str, it: Any) -> str:
    doc = inspect.getdoc(it) or ""
    if isinstance(it, property):
        return f"A property. {doc}"
    return f"{_code(name, inspect.signature(it))}\n\n{doc}"


def _code(name: str, signature: inspect.Signature) -> str:
    """A signature as code, its parameters one a line where they do not fit in one."""
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    returns = signature.return_annotation
    end = "" if returns is inspect.Signature.empty or returns == "None" else f" -> {returns}"
    words = []
    for before, it in zip([None, *parameters], parameters, strict=False):
        if it.kind is it.KEYWORD_ONLY and (before is None or before.kind is not it.KEYWORD_ONLY):
            words.append("*")
        text = f"{it.name}: {it.annotation}"
        words.append(text if it.default is it.empty else f"{text} = {_default(it.default)}")
    short = f"{name}({', '.join(words)}){end}"
    if len(short) > _WIDTH:
        short = f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){end}"
    return f"```python\n{short}\n```"


def _default(value: object) -> str:
    return "..." if callable(value) else repr(value)


if __name__ == "__main__":
    main()
