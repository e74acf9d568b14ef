"""`lakeflow fs ls|cp|cat|rm|mkdir` and `lakeflow outputs`: files of the workspace."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from lakeflow.cli.common_options import Common
from lakeflow.cli.lazy_group import Doors
from lakeflow.cli.options import (
    Yes,
    confirmed,
    print_json,
)


class _Fs(Doors):
    rooms: ClassVar[Mapping[str, str]] = {
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

RemotePath = Annotated[str, typer.Argument(metavar="PATH", help="A path of the workspace.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="All that is below, too.")]


def ls(
    path: RemotePath,
    recursive: Recursive = False,
    common: Common = Common(),
) -> None:
    """List a folder: size, time of the last change, path. Folders end with a slash.

    \b
    Examples:
      lakeflow fs ls /Volumes/main/default/data
      lakeflow fs ls -r dbfs:/results --output json
    """
    launcher = common.launcher()
    found = launcher.files.list(path, recursive=recursive)
    if common.as_json:
        print_json([asdict(entry) for entry in found])
        return
    for entry in found:
        slash = "/" if entry.kind == "folder" else ""
        size = "" if slash else str(entry.size)
        when = datetime.fromtimestamp(entry.modified / 1000) if entry.modified else None
        shown = f"{when:%Y-%m-%d %H:%M:%S}" if when else ""
        typer.echo(f"{size:>12}  {shown:<19}  {entry.path}{slash}")


def cp(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file or a folder.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where to copy it to.")],
    recursive: Recursive = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Skip files that are there, as large and not older."),
    ] = False,
    common: Common = Common(),
) -> None:
    """Copy files between this machine and the workspace, or within the workspace.

    With --recursive what is in the folder SOURCE goes into the folder TARGET. A file of this
    machine whose path looks like the workspace's is written file:/Volumes/...

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
    if common.as_json:
        print_json([asdict(copied) for copied in done])
    else:
        for copied in done:
            if not copied.skipped:
                typer.echo(copied.target)


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
        print_json({"path": path, "text": text})
    else:
        launcher.files.read(path, into=sys.stdout.buffer)


def rm(
    path: RemotePath,
    recursive: Recursive = False,
    yes: Yes = False,
    common: Common = Common(),
) -> None:
    """Remove a file, or with --recursive a folder with all that is in it.

    \b
    Example:
      lakeflow fs rm -r dbfs:/results --yes
    """
    launcher = common.launcher()
    removed = launcher.files.remove(
        path, recursive=recursive, confirm=lambda question: confirmed(question, yes)
    )
    if common.as_json:
        print_json(asdict(removed))


def mkdir(
    path: RemotePath,
    common: Common = Common(),
) -> None:
    """Make a folder and those above it. One that is there is no error.

    \b
    Example:
      lakeflow fs mkdir /Volumes/main/default/data/raw
    """
    launcher = common.launcher()
    made = launcher.files.create_folder(path)
    if common.as_json:
        print_json({"path": made})


def outputs(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The run's id.")],
    download_to: Annotated[
        Path | None,
        typer.Option(
            "--download-to",
            metavar="DIR",
            help="Download them to DIR, or DIR/<task> where there are several tasks.",
        ),
    ] = None,
    common: Common = Common(),
) -> None:
    """List or download the files that a run left in its LAKEFLOW_OUTPUT_DIR.

    \b
    Examples:
      lakeflow outputs 987654321
      lakeflow outputs 987654321 --download-to results
    """
    launcher = common.launcher()
    found = launcher.runs.outputs(run, download_to=download_to)
    if common.as_json:
        print_json([asdict(file) for file in found])
        return
    for file in found:
        typer.echo(file.local or f"{file.size:>12}  {file.path}")
