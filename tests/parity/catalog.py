"""The rows of the parity table: the calls that clients make, area by area."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

VERSION = r"/api/(?P<version>\d\.\d)/"


@dataclass(frozen=True)
class Row:
    """A call, or a way to use one.

    `endpoint` is a method and a path without `/api/<version>/`, as in
    docs/reference/local-workspace.md; `use` says what is done where that is not all. Drivers name
    a row by its `key`.
    """

    area: str
    endpoint: str
    use: str = ""

    @property
    def key(self) -> str:
        return f"{self.endpoint}: {self.use}" if self.use else self.endpoint

    def version(self, method: str, path: str) -> str | None:
        """The version of the API by which a request asks for this endpoint; else None."""
        expected, _, rest = self.endpoint.partition(" ")
        if expected != method:
            return None
        if rest.startswith("/"):
            return "yes" if path == rest else None
        parts = re.split(r"\{(\w+)\}", rest)
        pattern = "".join(
            re.escape(part) if number % 2 == 0 else (".+" if part == "path" else "[^/]+")
            for number, part in enumerate(parts)
        )
        found = re.fullmatch(VERSION + pattern, path)
        return found["version"] if found else None


_CALLS = {
    "Identity": [
        "GET /.well-known/databricks-config",
        "GET preview/scim/v2/Me",
    ],
    "Jobs": [
        "POST jobs/create",
        "POST jobs/create: two tasks, one after the other, on a job cluster",
        "GET jobs/get",
        "GET jobs/list",
        "GET jobs/list: by name",
        "GET jobs/list: page by page",
        "POST jobs/reset",
        "POST jobs/update",
        "POST jobs/delete",
    ],
    "Runs": [
        "POST jobs/run-now",
        "POST jobs/run-now: the same idempotency token twice",
        "POST jobs/run-now: waited for by the client",
        "POST jobs/runs/submit",
        "POST jobs/runs/submit: waited for by the client",
        "POST jobs/runs/submit: a Python file on DBFS",
        "GET jobs/runs/get",
        "GET jobs/runs/list",
        "GET jobs/runs/get-output",
        "GET jobs/runs/get-output: of a wheel task, arguments and all",
        "GET jobs/runs/get-output: of a run that was submitted",
        "GET jobs/runs/get-output: error and trace of a run that failed",
        "GET jobs/runs/export",
        "POST jobs/runs/repair",
        "POST jobs/runs/cancel",
        "POST jobs/runs/cancel-all",
        "POST jobs/runs/delete",
    ],
    "Clusters": [
        "POST clusters/create",
        "GET clusters/get",
        "GET clusters/list",
        "POST clusters/edit",
        "POST clusters/update",
        "POST clusters/start",
        "POST clusters/restart",
        "POST clusters/resize",
        "POST clusters/delete",
        "POST clusters/permanent-delete",
        "POST clusters/events",
        "POST clusters/pin",
        "POST clusters/unpin",
        "GET clusters/spark-versions",
        "GET clusters/list-node-types",
        "GET clusters/list-zones",
        "GET policies/clusters/list",
        "POST policies/clusters/create",
        "GET instance-pools/list",
        "POST instance-pools/create",
    ],
    "Libraries": [
        "POST libraries/install",
        "POST libraries/uninstall",
        "GET libraries/cluster-status",
        "GET libraries/all-cluster-statuses",
    ],
    "Files API": [
        "PUT fs/directories{path}",
        "GET fs/directories{path}",
        "HEAD fs/directories{path}",
        "DELETE fs/directories{path}",
        "PUT fs/files{path}",
        "PUT fs/files{path}: a body of unknown length",
        "GET fs/files{path}",
        "HEAD fs/files{path}",
        "DELETE fs/files{path}",
        "POST fs/create-download-url: a download",
        "POST fs/create-upload-part-urls: 60 MB, sent and read back",
        "POST fs/files{path}",
        "POST fs/create-abort-upload-url",
    ],
    "Volumes": [
        "POST unity-catalog/volumes",
        "GET unity-catalog/volumes",
        "GET unity-catalog/volumes/{name}",
        "DELETE unity-catalog/volumes/{name}",
        "GET unity-catalog/permissions/{path}",
        "PATCH unity-catalog/permissions/{path}",
    ],
    "Workspace files": [
        "POST workspace/import",
        "POST workspace/import: as a multipart form",
        "POST workspace/import: a notebook",
        "POST workspace-files/import-file/{path}",
        "GET workspace/export",
        "GET workspace/export: as it is (direct_download)",
        "GET workspace/get-status",
        "GET workspace/list",
        "POST workspace/mkdirs",
        "POST workspace/delete",
    ],
    "DBFS": [
        "POST dbfs/put",
        "POST dbfs/put: as a multipart form",
        "POST dbfs/create",
        "POST dbfs/add-block",
        "POST dbfs/close",
        "GET dbfs/read",
        "GET dbfs/get-status",
        "GET dbfs/list",
        "POST dbfs/mkdirs",
        "POST dbfs/move",
        "POST dbfs/delete",
    ],
    "Secrets": [
        "POST secrets/scopes/create",
        "GET secrets/scopes/list",
        "POST secrets/scopes/delete",
        "POST secrets/put",
        "GET secrets/get",
        "GET secrets/list",
        "POST secrets/delete",
        "POST secrets/acls/put",
        "GET secrets/acls/get",
        "GET secrets/acls/list",
        "POST secrets/acls/delete",
    ],
    "Permissions": [
        "GET permissions/jobs/{id}",
        "PUT permissions/jobs/{id}",
        "PATCH permissions/jobs/{id}",
        "GET permissions/jobs/{id}/permissionLevels",
        "GET permissions/clusters/{id}",
        "PATCH permissions/clusters/{id}",
    ],
    "Others": [
        "GET token/list",
        "GET repos",
        "GET pipelines",
        "GET sql/warehouses",
        "GET unity-catalog/catalogs",
        "POST /telemetry-ext",
    ],
}


def _rows() -> Iterator[Row]:
    for area, calls in _CALLS.items():
        for call in calls:
            endpoint, _, use = call.partition(": ")
            yield Row(area, endpoint, use)


ROWS = tuple(_rows())
