"""`lakeflow fs ls|cp|cat|rm|mkdir` and `lakeflow outputs`: files of the workspace."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.formatting import size_text
from lakeflow.cli.lazy_group import LazyGroup
from lakeflow.cli.option_types import Yes, confirmed, parse_id
from lakeflow.errors import Refused

if TYPE_CHECKING:
    from lakeflow.resources.files import Entry


class _Fs(LazyGroup):
    lazy_subcommands: ClassVar[Mapping[str, str]] = {
        "ls": "fs:ls",
        "cp": "fs:cp",
        "cat": "fs:cat",
        "rm": "fs:rm",
        "mkdir": "fs:mkdir",
    }


app = typer.Typer(
    cls=_Fs,
    help="Files of the workspace: dbfs:/..., /Volumes/... and /Workspace/...",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RemotePath = Annotated[str, typer.Argument(metavar="PATH", help="Path in the workspace.")]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Include everything below the folder.")
]


def ls(
    path: RemotePath,
    recursive: Recursive = False,
    common: Common = Common(),
) -> None:
    """List a folder: size, modification time, path. Folders end with a slash.

    \b
    Examples:
      lakeflow fs ls /Volumes/main/default/data
      lakeflow fs ls -r dbfs:/results --output json
    """
    launcher = common.launcher()
    found = launcher.files.list(path, recursive=recursive)
    common.emit(found, map(_line, found))


def cp(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="File or folder.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where to copy it to.")],
    recursive: Recursive = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume an interrupted copy: skip files that exist with the same size, where "
            "the workspace tells it, and are not older.",
        ),
    ] = False,
    common: Common = Common(),
) -> None:
    """Copy files between this machine and the workspace, or within the workspace.

    With --recursive the content of the folder SOURCE is copied into the folder TARGET. Write
    file:/Volumes/... for a local path that looks like one of the workspace.

    \b
    Examples:
      lakeflow fs cp model.bin /Volumes/main/default/models/
      lakeflow fs cp -r data dbfs:/data --resume
      lakeflow fs cp -r /Volumes/main/default/results results
    """
    launcher = common.launcher()
    done = launcher.files.copy(
        source, target, recursive=recursive, overwrite=overwrite, resume=resume
    )
    common.emit(done, (copied.target for copied in done if not copied.skipped))


def cat(
    path: RemotePath,
    common: Common = Common(),
) -> None:
    """Print a file, byte for byte.

    \b
    Example:
      lakeflow fs cat dbfs:/results/score.txt
    """
    launcher = common.launcher()
    if common.as_json:
        text = launcher.files.read(path).decode("utf-8", "replace")
        common.emit({"path": path, "text": text})
    else:
        launcher.files.read(path, into=sys.stdout.buffer)


def rm(
    path: RemotePath,
    recursive: Recursive = False,
    yes: Yes = False,
    common: Common = Common(),
) -> None:
    """Remove a file, or with --recursive a folder and its content.

    \b
    Example:
      lakeflow fs rm -r dbfs:/results --yes
    """
    launcher = common.launcher()
    plan = launcher.files.plan_remove(path, recursive=recursive)
    content = " and its content" if plan.entry.kind == "folder" else ""
    if not confirmed(f"Remove the {plan.entry.kind} {plan.entry.path}{content}?", yes):
        raise Refused(f"{plan.entry.path} was not removed")
    common.emit(launcher.apply(plan))


def mkdir(
    path: RemotePath,
    common: Common = Common(),
) -> None:
    """Create a folder and its parents. It may exist already.

    \b
    Example:
      lakeflow fs mkdir /Volumes/main/default/data/raw
    """
    launcher = common.launcher()
    common.emit({"path": launcher.files.create_folder(path)})


def outputs(
    run: Annotated[int, typer.Argument(metavar="RUN", help="Id of the run.", parser=parse_id)],
    download_to: Annotated[
        Path | None,
        typer.Option(
            "--download-to",
            metavar="DIR",
            help="Download them to DIR, or to DIR/<task> for several tasks.",
        ),
    ] = None,
    common: Common = Common(),
) -> None:
    """List or download the files that a run wrote to its LAKEFLOW_OUTPUT_DIR.

    \b
    Examples:
      lakeflow outputs 987654321
      lakeflow outputs 987654321 --download-to results
    """
    launcher = common.launcher()
    found = launcher.runs.outputs(run, download_to=download_to)
    common.emit(found, (file.local or f"{size_text(file.size):>12}  {file.path}" for file in found))


def _line(entry: Entry) -> str:
    is_folder = entry.kind == "folder"
    size = "" if is_folder else size_text(entry.size)
    when = datetime.fromtimestamp(entry.modified / 1000) if entry.modified else None
    modified = f"{when:%Y-%m-%d %H:%M:%S}" if when else ""
    return f"{size:>12}  {modified:<19}  {entry.path}{'/' if is_folder else ''}"
