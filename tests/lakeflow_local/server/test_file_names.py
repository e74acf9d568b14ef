"""Names that are not UTF-8 or hold control characters: refused, or shown escaped."""

from __future__ import annotations

import io
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.workspace import ImportFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeflow_local.daemon import Endpoint
from lakeflow_local.storage.names import from_shown, shown
from tests.lakeflow_local.helpers import ask, present

VOLUME = "/Volumes/main/default/lakeflow"
LEFT = [b"a\xff", b"b\x1b[31m", b"c\n", b"d\xc2\x9b", b"e\xed\xa0\x80"]
SHOWN = [r"a\xff", r"b\x1b[31m", r"c\x0a", r"d\xc2\x9b", r"e\xed\xa0\x80", "fine"]


def leave(folder: Path) -> None:
    """Create files as a task can."""
    folder.mkdir(parents=True)
    for name in (*LEFT, b"fine"):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_text("kept")


@pytest.mark.parametrize("name", ["a\x1b[31m", "b\n", "c\x7f", "d\x9b"])
def test_control_characters_are_refused(
    client: WorkspaceClient, endpoint: Endpoint, name: str
) -> None:
    home = f"/Workspace/Users/{client.current_user.me().user_name}"
    with pytest.raises(InvalidParameterValue):
        client.files.upload(f"{VOLUME}/{name}", io.BytesIO(b"x"))
    with pytest.raises(InvalidParameterValue):
        client.files.create_directory(f"{VOLUME}/{name}/x")
    with pytest.raises(DatabricksError, match="without control characters"):
        client.workspace.upload(f"{home}/{name}", b"x", format=ImportFormat.AUTO)
    with pytest.raises(InvalidParameterValue):
        client.workspace.mkdirs(f"{home}/{name}")
    with pytest.raises(InvalidParameterValue):
        client.dbfs.put(f"/{name}", contents="")
    with pytest.raises(InvalidParameterValue):
        client.dbfs.create(f"/{name}")
    # The SDK removes line breaks from this path.
    assert (
        ask(endpoint, "POST", "/api/2.0/dbfs/mkdirs", json={"path": f"/{name}"}).status_code == 400
    )


def test_bytes_that_are_no_text_are_refused(endpoint: Endpoint) -> None:
    for method, path in (
        ("PUT", f"/api/2.0/fs/files{VOLUME}/x%ff"),
        ("PUT", f"/api/2.0/fs/directories{VOLUME}/x%ff"),
        ("POST", f"/api/2.0/fs/files{VOLUME}/x%ff?action=initiate-upload"),
    ):
        answer = ask(endpoint, method, path)
        assert answer.status_code == 400, path
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_what_a_task_left_is_listed_with_the_rest(
    client: WorkspaceClient, endpoint: Endpoint, mount: Path
) -> None:
    home = f"/Workspace/Users/{client.current_user.me().user_name}"
    for folder in (f"{VOLUME}/left", f"{home}/left", "/dbfs/left"):
        leave(mount / folder[1:])
    in_volume = client.files.list_directory_contents(f"{VOLUME}/left", page_size=2)
    assert [entry.name for entry in in_volume] == SHOWN
    in_workspace = client.workspace.list(f"{home}/left")
    assert [present(entry.path) for entry in in_workspace] == [f"{home}/left/{n}" for n in SHOWN]
    on_dbfs = client.dbfs.list("/left")
    assert [entry.path for entry in on_dbfs] == [f"/left/{name}" for name in SHOWN]
    for name in SHOWN:
        path = f"{VOLUME}/left/{name}"
        contents = client.files.download(path).contents
        assert present(contents).read() == b"kept"
        client.files.delete(path)
        raw = ask(endpoint, "HEAD", f"/api/2.0/fs/files{quote(path)}")
        assert raw.status_code == 404
    assert list(client.files.list_directory_contents(f"{VOLUME}/left")) == []


@given(name=st.binary(min_size=1, max_size=20).map(os.fsdecode))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_shown_names_are_text_and_lead_back(name: str) -> None:
    text = shown(name)
    assert text.encode().decode() == text
    assert text.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)
    if "\\" not in name:
        assert from_shown(text) == name
