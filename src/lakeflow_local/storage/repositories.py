"""All repositories of a workspace, on one database."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from lakeflow_local.storage.cluster_library_repository import ClusterLibraryRepository
from lakeflow_local.storage.cluster_repository import ClusterRepository
from lakeflow_local.storage.database import Database
from lakeflow_local.storage.dbfs_handle_repository import DbfsHandleRepository
from lakeflow_local.storage.job_repository import JobRepository
from lakeflow_local.storage.permission_repository import PermissionRepository
from lakeflow_local.storage.principal_repository import PrincipalRepository
from lakeflow_local.storage.repair_repository import RepairRepository
from lakeflow_local.storage.run_repository import RunRepository
from lakeflow_local.storage.secret_repository import SecretRepository
from lakeflow_local.storage.task_run_repository import TaskRunRepository
from lakeflow_local.storage.task_value_repository import TaskValueRepository
from lakeflow_local.storage.volume_repository import VolumeRepository


class Storage:
    """One repository for each kind of object; transactions may span several of them."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self.jobs = JobRepository(self._database)
        self.runs = RunRepository(self._database)
        self.repairs = RepairRepository(self._database)
        self.task_runs = TaskRunRepository(self._database)
        self.task_values = TaskValueRepository(self._database)
        self.clusters = ClusterRepository(self._database)
        self.cluster_libraries = ClusterLibraryRepository(self._database)
        self.volumes = VolumeRepository(self._database)
        self.dbfs_handles = DbfsHandleRepository(self._database)
        self.secrets = SecretRepository(self._database)
        self.permissions = PermissionRepository(self._database)
        self.principals = PrincipalRepository(self._database)

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all changes of the block, or none. An inner transaction joins the outer one."""
        return self._database.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """Read the block's data as of one moment."""
        return self._database.snapshot()

    def close(self) -> None:
        self._database.close()
