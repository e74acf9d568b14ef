"""Clusters: `/api/2.{0,1}/clusters/`. Source: docs.databricks.com/api/workspace/clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from lakeflow_local.compute.errors import ClusterMissing
from lakeflow_local.compute.interpreters import RUNTIMES
from lakeflow_local.config import CORES
from lakeflow_local.server.api.authorization import admins_only, anyone, on_cluster
from lakeflow_local.server.api.compute_catalog import NODE_TYPES
from lakeflow_local.server.api.errors import ApiError, invalid, not_served
from lakeflow_local.server.api.paging import after, encode_token
from lakeflow_local.server.api.request import ApiRequest, ApiResponse, check_strings
from lakeflow_local.server.api.route import versioned
from lakeflow_local.storage.cluster_repository import Cluster, ClusterEvent
from lakeflow_local.storage.settings import ClusterSpec

VERSIONS = ("2.1", "2.0")
REFUSED = [
    "policy_id",
    "instance_pool_id",
    "driver_instance_pool_id",
    "init_scripts",
    "docker_image",
    "cluster_log_conf",
    "workload_type",
    "clone_from",
]
STATES = ("PENDING", "RUNNING", "RESTARTING", "RESIZING", "TERMINATING", "TERMINATED", "ERROR")
SOURCES = ("UI", "API", "JOB", "PIPELINE", "PIPELINE_MAINTENANCE", "SQL", "MODELS")
SORTS: dict[str, Callable[[Cluster], Any]] = {
    "CLUSTER_NAME": lambda cluster: cluster.spec.get("cluster_name", "").casefold(),
    "DEFAULT": lambda cluster: -cluster.created,
}


def create(request: ApiRequest) -> ApiResponse:
    spec = check_spec(request)
    return {"cluster_id": request.workspace.clusters.create(spec, request.principal.name)}


def edit(request: ApiRequest) -> ApiResponse:
    """Replace the specification of a cluster, and restart it if it is running."""
    cluster = find(request)
    if cluster.state not in ("RUNNING", "TERMINATED"):
        raise _unexpected(cluster)
    spec = check_spec(request)
    request.workspace.clusters.change(cluster.cluster_id, spec)
    if request.workspace.clusters.restart(cluster.cluster_id):
        request.workspace.scheduler.kill_tasks_on(cluster.cluster_id)
    return {}


def get(request: ApiRequest) -> ApiResponse:
    return _view(request, find(request))


def update(request: ApiRequest) -> ApiResponse:
    """Replace the fields that `update_mask` names, and restart the cluster if it is running.

    A named field without a value is reset to its default.
    """
    cluster = find(request)
    if cluster.state not in ("RUNNING", "TERMINATED"):
        raise _unexpected(cluster)
    given = request.mapping("cluster")
    names = [name.strip() for name in request.text("update_mask").split(",")]
    if names == ["*"]:
        names = [*cluster.spec, *given]
    spec = {name: value for name, value in cluster.spec.items() if name not in names}
    spec |= {name: given[name] for name in names if name in given}
    changed = check_spec(request.within(spec))
    if changed == cluster.spec:
        return {}
    request.workspace.clusters.change(cluster.cluster_id, changed)
    if request.workspace.clusters.restart(cluster.cluster_id):
        request.workspace.scheduler.kill_tasks_on(cluster.cluster_id)
    return {}


def pin(request: ApiRequest) -> ApiResponse:
    request.workspace.storage.clusters.pin(find(request).cluster_id, request.principal.name)
    return {}


def unpin(request: ApiRequest) -> ApiResponse:
    request.workspace.storage.clusters.pin(find(request).cluster_id, None)
    return {}


def list_clusters(request: ApiRequest) -> ApiResponse:
    """List clusters that the principal may attach to; filters are sent as `filter_by.name`."""
    states = _choices(request, "filter_by.cluster_states", STATES)
    sources = _choices(request, "filter_by.cluster_sources", SOURCES)
    found = [
        cluster
        for cluster in visible(request)
        if (not states or cluster.state in states)
        and (not sources or cluster.source in sources)
        and (
            "filter_by.is_pinned" not in request.parameters
            or request.flag("filter_by.is_pinned") == (cluster.pinned_by is not None)
        )
        and not request.parameters.get("filter_by.policy_id")  # no cluster has one
    ]
    sort = request.text("sort_by.field", "DEFAULT")
    if sort not in SORTS or request.text("sort_by.direction", "ASC") not in ("ASC", "DESC"):
        raise invalid(f"sort_by needs a field, one of {', '.join(SORTS)}, and ASC or DESC.")
    found.sort(key=SORTS[sort], reverse=request.text("sort_by.direction", "ASC") == "DESC")
    size, start = request.number("page_size", 100) or 100, after(request, 0)
    if not 0 < size <= 100:
        raise invalid(f"page_size must be between 1 and 100, not {size}.")
    return {
        "clusters": [_view(request, cluster) for cluster in found[start : start + size]],
        "next_page_token": encode_token([start + size]) if start + size < len(found) else "",
        "prev_page_token": encode_token([max(0, start - size)]) if start else "",
    }


def _choices(request: ApiRequest, name: str, known: Sequence[str]) -> Sequence[str]:
    """Return the values of a query parameter that may be repeated."""
    given = request.parameters.get(name, [])
    chosen = given if isinstance(given, list) else [given]
    for value in chosen:
        if value not in known:
            raise invalid(f"{name} must be one of {', '.join(known)}.")
    return chosen


def start(request: ApiRequest) -> ApiResponse:
    cluster = find(request)
    if not request.workspace.clusters.start(cluster.cluster_id):
        raise _unexpected(find(request))
    return {}


def restart(request: ApiRequest) -> ApiResponse:
    cluster = find(request)
    if not request.workspace.clusters.restart(cluster.cluster_id):
        raise _unexpected(find(request))
    request.workspace.scheduler.kill_tasks_on(cluster.cluster_id)
    return {}


def delete(request: ApiRequest) -> ApiResponse:
    """Terminate a cluster, which can be started again."""
    cluster = find(request)
    if cluster.state != "TERMINATED":
        request.workspace.clusters.terminate(
            cluster.cluster_id, "USER_REQUEST", {"username": request.principal.name}
        )
        request.workspace.scheduler.kill_tasks_on(cluster.cluster_id)
    return {}


def permanent_delete(request: ApiRequest) -> ApiResponse:
    cluster = find(request)
    delete(request)
    request.workspace.storage.clusters.delete(cluster.cluster_id)
    return {}


def resize(request: ApiRequest) -> ApiResponse:
    cluster = find(request)
    if cluster.state != "RUNNING":
        raise _unexpected(cluster)
    spec: dict[str, object] = {
        name: value
        for name, value in cluster.spec.items()
        if name not in ("num_workers", "autoscale")
    }
    if request.mapping("autoscale"):
        spec["autoscale"] = request.mapping("autoscale")
    else:
        spec["num_workers"] = request.number("num_workers")
    request.workspace.clusters.change(cluster.cluster_id, cast(ClusterSpec, spec))
    return {}


def events(request: ApiRequest) -> ApiResponse:
    cluster = find(request)
    found = list(request.workspace.storage.clusters.events(cluster.cluster_id))
    if request.text("order", "DESC") != "ASC":
        found.reverse()
    types = request.parameters.get("event_types") or []
    check_strings(types, "event_types")
    since, until = request.number("start_time", 0), request.number("end_time", 2**62)
    found = [
        event
        for event in found
        if since <= event.at <= until and (not types or event.type in types)
    ]
    start, limit = request.number("offset", 0), request.number("limit", 50)
    if start < 0 or not 0 < limit <= 500:
        raise invalid("limit must be between 1 and 500, and offset not negative.")
    response: dict[str, Any] = {
        "events": [_event_view(cluster, event) for event in found[start : start + limit]],
        "total_count": len(found),
    }
    if start + limit < len(found):
        response["next_page"] = {**request.parameters, "offset": start + limit, "limit": limit}
    return response


def _event_view(cluster: Cluster, event: ClusterEvent) -> Mapping[str, Any]:
    return {
        "cluster_id": cluster.cluster_id,
        "timestamp": event.at,
        "type": event.type,
        "details": event.details,
    }


def visible(request: ApiRequest) -> list[Cluster]:
    """Return the clusters that the principal may see."""
    permissions = request.workspace.permissions
    return [
        cluster
        for cluster in request.workspace.clusters.all()
        if permissions.on_cluster(request.principal, cluster.cluster_id)
    ]


def find(request: ApiRequest) -> Cluster:
    """Return the cluster that the request names. Raises the error of one that does not exist."""
    cluster_id = request.text("cluster_id")
    try:
        return request.workspace.clusters.get(cluster_id)
    except ClusterMissing:
        raise invalid(f"Cluster {cluster_id} does not exist") from None


def _unexpected(cluster: Cluster) -> ApiError:
    message = f"Cluster {cluster.cluster_id} is in unexpected state {cluster.state.capitalize()}."
    return ApiError(400, "INVALID_STATE", message)


def check_spec(request: ApiRequest) -> ClusterSpec:
    """Return a cluster's specification. Raises the error of an invalid one."""
    if request.workspace.clusters.is_serverless_only:
        raise invalid("Only serverless compute is supported in the workspace.")
    spec = {k: v for k, v in request.parameters.items() if v is not None and k != "cluster_id"}
    for name in REFUSED:
        if spec.get(name):
            raise not_served(f"clusters with '{name}' yet")
    _check_runtime(request)
    node_types = ", ".join(NODE_TYPES)
    for name in ("node_type_id", "driver_node_type_id"):
        if name in spec and spec[name] not in NODE_TYPES:
            raise invalid(
                f"Node type {spec[name]} is not supported. Supported node types: {node_types}"
            )
    if "node_type_id" not in spec:
        raise invalid(f"node_type_id is missing. Supported node types: {node_types}")
    if request.mapping("autoscale"):
        low, high = (spec["autoscale"].get(f"{end}_workers") for end in ("min", "max"))
        if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high):
            raise invalid("autoscale needs 0 <= min_workers <= max_workers.")
    elif request.number("num_workers", 0) < 0:
        raise invalid("num_workers must not be negative.")
    minutes = request.number("autotermination_minutes", 0)
    if minutes and not 10 <= minutes <= 10_000:
        raise invalid("autotermination_minutes must be 0, or between 10 and 10000.")
    for name in ("spark_env_vars", "spark_conf", "custom_tags"):
        for key, value in request.mapping(name).items():
            if not isinstance(value, str) or "\0" in key + value:
                raise invalid(f"{name}: the value of '{key}' must be a text.")
            if "{{secrets/" in value and name != "spark_env_vars":
                raise not_served(f"secrets in '{name}' yet")
    request.text("cluster_name", "")
    return cast(ClusterSpec, spec)


def _check_runtime(request: ApiRequest) -> None:
    key = request.text("spark_version")
    offered = request.workspace.clusters.interpreters.runtimes()
    if key in {runtime.key for runtime in offered}:
        return
    names = ", ".join(runtime.key for runtime in offered) or "none"
    known = next((runtime for runtime in RUNTIMES if runtime.key == key), None)
    if known is None:
        raise invalid(f"Spark version {key} is not supported. Supported here: {names}.")
    raise invalid(
        f"Spark version {key} needs Python {known.python}, which this machine does not have "
        f"(`uv python install {known.python}` installs it, `lakeflow local up --any-python` takes "
        f"another). Supported here: {names}."
    )


def _view(request: ApiRequest, cluster: Cluster) -> dict[str, Any]:
    creator = cluster.creator or request.workspace.user
    view: dict[str, Any] = {
        "data_security_mode": "SINGLE_USER",
        "autotermination_minutes": 0,
        "enable_elastic_disk": False,
        **cluster.spec,
        "cluster_id": cluster.cluster_id,
        "cluster_name": cluster.spec.get("cluster_name", ""),
        "creator_user_name": creator,
        "cluster_source": cluster.source,
        "state": cluster.state,
        "state_message": cluster.state_message,
        "start_time": cluster.started or cluster.created,
        "last_activity_time": cluster.active,
        "driver_node_type_id": cluster.spec.get(
            "driver_node_type_id", cluster.spec["node_type_id"]
        ),
        "cluster_cores": float(CORES),
        "default_tags": {
            "Vendor": "Databricks",
            "Creator": creator,
            "ClusterName": cluster.spec.get("cluster_name", ""),
            "ClusterId": cluster.cluster_id,
        },
        "spec": cluster.spec,
    }
    if view["data_security_mode"] == "SINGLE_USER":
        view.setdefault("single_user_name", creator)
    if cluster.pinned_by is not None:
        view["pinned_by_user_name"] = cluster.pinned_by
    if cluster.terminated is not None:
        view["terminated_time"] = cluster.terminated
        view["termination_reason"] = cluster.termination
    return view


ROUTES = (
    *versioned(VERSIONS, "POST", "clusters/create", create, anyone),
    *versioned(VERSIONS, "POST", "clusters/edit", edit, on_cluster("CAN_MANAGE")),
    *versioned(VERSIONS, "GET", "clusters/get", get, on_cluster("CAN_ATTACH_TO")),
    *versioned(VERSIONS, "GET", "clusters/list", list_clusters, anyone),
    *versioned(VERSIONS, "POST", "clusters/start", start, on_cluster("CAN_RESTART")),
    *versioned(VERSIONS, "POST", "clusters/restart", restart, on_cluster("CAN_RESTART")),
    *versioned(VERSIONS, "POST", "clusters/delete", delete, on_cluster("CAN_RESTART")),
    *versioned(
        VERSIONS, "POST", "clusters/permanent-delete", permanent_delete, on_cluster("CAN_MANAGE")
    ),
    *versioned(VERSIONS, "POST", "clusters/resize", resize, on_cluster("CAN_MANAGE")),
    *versioned(VERSIONS, "POST", "clusters/events", events, on_cluster("CAN_ATTACH_TO")),
    *versioned(VERSIONS, "POST", "clusters/update", update, on_cluster("CAN_MANAGE")),
    *versioned(VERSIONS, "POST", "clusters/pin", pin, admins_only),
    *versioned(VERSIONS, "POST", "clusters/unpin", unpin, admins_only),
)
