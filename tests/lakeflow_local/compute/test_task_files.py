"""Files as tasks see them: `dbutils.fs`, and volumes that take no appends."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient

from lakeflow_local import daemon
from tests.lakeflow_local.helpers import (
    connect,
    logs,
    python_task,
    result_of,
    run_once,
    start_cluster,
)

FILES = """
import json, os, sys
from dbruntime import UserNamespaceInitializer
fs = UserNamespaceInitializer.getOrCreate().get_namespace_globals()["dbutils"].fs
root, other, local = sys.argv[1:]
found = {}

def refused(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)

found["put"] = [fs.put(root + "/a.txt", "h\u00e9llo"), refused(fs.put, root + "/a.txt", "x")]
fs.put(root + "/a.txt", "hello!", True)
fs.mkdirs(root + "/sub/below")
found["ls"] = [[i.path, i.name, i.size, i.isDir()] for i in fs.ls(root)]
found["of a file"] = [i.path for i in fs.ls(root + "/a.txt")]
found["head"] = [fs.head(root + "/a.txt"), fs.head(root + "/a.txt", 2)]
found["cp"] = [
    fs.cp(root + "/a.txt", other + "/x/b.txt"),
    fs.cp(root + "/a.txt", root + "/sub"),
    refused(fs.cp, root, other),
    refused(fs.cp, root, root + "/sub", True),
    fs.cp(root, other + "/copy", recurse=True),
    [i.name for i in fs.ls(other + "/copy")],
    fs.cp(other + "/copy/sub/a.txt", local + "/c.txt"),
    open(local.partition(":")[2] + "/c.txt").read(),
]
found["mv"] = [fs.mv(other + "/copy", other + "/moved", True), refused(fs.ls, other + "/copy")]
found["rm"] = [fs.rm(root + "/none"), refused(fs.rm, root), fs.rm(root, True), fs.rm(root)]
found["odd"] = [
    refused(fs.ls, "s3://x"),
    refused(fs.ls, "no/root"),
    refused(lambda: fs.mounts),
    refused(fs.head, "/no"),
]
print(json.dumps(found))
"""

APPENDS = """
import json, os, sqlite3, sys
where = sys.argv[1]
path = where + "/file"
found = {}
with open(path, "w") as file:
    file.write("written again")
with open(path, "wb") as file:
    file.write(b"and again")
open(where + "/exclusive", "x").close()

def attempt(name, call):
    try:
        call()
        found[name] = "done"
    except OSError as error:
        found[name] = error.errno

attempt("append", lambda: open(path, "a"))
attempt("append to a new one", lambda: open(where + "/new", "ab"))
attempt("update", lambda: open(path, "r+"))
attempt("os.open", lambda: os.open(path, os.O_WRONLY))
attempt("truncate", lambda: os.truncate(path, 3))
attempt("link", lambda: os.link(path, where + "/link"))
os.chdir(where)
attempt("relative", lambda: open("file", "a"))
attempt("read", lambda: open(path).read())
attempt("rename", lambda: os.rename(path, where + "/renamed"))
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=["mounted", "below LAKEFLOW_MOUNT"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkspaceClient]:
    """A workspace whose trees are at the root, and one whose are not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield connect(daemon.ensure_up(namespaces=request.param == "mounted"))
        daemon.down()


@pytest.fixture(scope="module")
def compute(server: WorkspaceClient) -> str:
    return start_cluster(server)


@pytest.mark.parametrize(
    ("root", "shown"),
    [
        ("/d", "dbfs:/d"),
        ("dbfs:/e f", "dbfs:/e f"),
        ("/Volumes/main/default/lakeflow/d", "dbfs:/Volumes/main/default/lakeflow/d"),
        ("file:/Workspace/Shared/d", "file:/Workspace/Shared/d"),
    ],
)
def test_dbutils_fs(
    server: WorkspaceClient, compute: str, tmp_path: Path, root: str, shown: str
) -> None:
    task = python_task(server, compute, FILES, root, "dbfs:/other", f"file:{tmp_path}")
    run, result = run_once(server, task)
    assert result_of(run) == "SUCCESS", result.error_trace
    found = json.loads(logs(result).splitlines()[-1])
    exists = f"org.apache.hadoop.fs.FileAlreadyExistsException: {shown}/a.txt already exists"
    assert found["put"] == [True, f"ExecutionError: {exists}"]
    assert found["ls"] == [
        [f"{shown}/a.txt", "a.txt", 6, False],
        [f"{shown}/sub/", "sub/", 0, True],
    ]
    assert found["of a file"] == [f"{shown}/a.txt"]
    assert found["head"] == ["hello!", "he"]
    no_folder = "ExecutionError: java.lang.IllegalArgumentException: "
    assert found["cp"] == [
        True,
        True,
        f"{no_folder}Cannot copy a directory unless recurse is set to true: {shown}",
        f"{no_folder}{shown}/sub is inside {shown}",
        True,
        ["a.txt", "sub/"],
        True,
        "hello!",
    ]
    missing = "ExecutionError: java.io.FileNotFoundException: No such file or directory"
    assert found["mv"] == [True, f"{missing} dbfs:/other/copy"]
    assert found["rm"][0] is False
    assert "is not empty" in found["rm"][1]
    assert found["rm"][2:] == [True, False]
    assert found["odd"] == [
        "ExecutionError: java.io.IOException: No FileSystem for scheme: s3",
        f"{no_folder}Path must be absolute: no/root",
        "NotImplementedError: The local workspace does not serve dbutils.fs.mounts.",
        f"{missing} dbfs:/no",
    ]
    assert server.dbfs.read("/other/x/b.txt").data == "aGVsbG8h"


def test_volumes_take_no_appends(server: WorkspaceClient, compute: str, tmp_path: Path) -> None:
    volume = "/Volumes/main/default/lakeflow"
    server.files.upload(f"{volume}/appends/there", io.BytesIO(b""))
    program = APPENDS.replace("sys.argv[1]", "os.environ.get('LAKEFLOW_MOUNT', '') + sys.argv[1]")
    run, result = run_once(server, python_task(server, compute, program, f"{volume}/appends"))
    assert result_of(run) == "SUCCESS", result.error_trace
    allowed = {"read": "done", "rename": "done"}
    found = json.loads(logs(result))
    assert {name: end for name, end in found.items() if end != 95} == allowed
    assert len(found) == 9
    elsewhere = python_task(server, compute, APPENDS, str(tmp_path))
    run, result = run_once(server, elsewhere)
    assert set(json.loads(logs(result)).values()) == {"done"}
