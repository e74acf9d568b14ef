"""Clusters: `/api/2.{0,1}/clusters/`. Source: docs.databricks.com/api/workspace/clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lakeflow_local.compute.clusters import Cluster
from lakeflow_local.compute.interpreters import RUNTIMES
from lakeflow_local.compute.libraries import ClusterMissing
from lakeflow_local.config import CORES
from lakeflow_local.server.api.call import (
    Answer,
    ApiError,
    Call,
    Route,
    check_texts,
    invalid,
    not_served,
)
from lakeflow_local.server.api.compute_catalog import NODE_TYPES
from lakeflow_local.server.api.paging import after, encode_token

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


def create(call: Call) -> Answer:
    spec = check_spec(call)
    return {"cluster_id": call.workspace.clusters.create(spec, call.me.name)}


def edit(call: Call) -> Answer:
    """Replace the specification; a running cluster is restarted with it."""
    cluster = find(call)
    if cluster.state not in ("RUNNING", "TERMINATED"):
        raise _unexpected(cluster)
    spec = check_spec(call)
    call.workspace.clusters.change(cluster.cluster_id, spec)
    if call.workspace.clusters.restart(cluster.cluster_id):
        call.workspace.engine.end_tasks_on(cluster.cluster_id)
    return {}


def get(call: Call) -> Answer:
    return _view(call, find(call))


def update(call: Call) -> Answer:
    """Replace the fields of the specification that `update_mask` names, and restart what runs.

    Of what is named and not given, the default counts.
    """
    cluster = find(call)
    if cluster.state not in ("RUNNING", "TERMINATED"):
        raise _unexpected(cluster)
    given = call.mapping("cluster")
    names = [name.strip() for name in call.text("update_mask").split(",")]
    if names == ["*"]:
        names = [*cluster.spec, *given]
    spec = {name: value for name, value in cluster.spec.items() if name not in names}
    spec |= {name: given[name] for name in names if name in given}
    spec = dict(check_spec(call.within(spec)))
    if spec == cluster.spec:
        return {}
    call.workspace.clusters.change(cluster.cluster_id, spec)
    if call.workspace.clusters.restart(cluster.cluster_id):
        call.workspace.engine.end_tasks_on(cluster.cluster_id)
    return {}


def pin(call: Call) -> Answer:
    call.workspace.clusters.pin(find(call).cluster_id, call.me.name)
    return {}


def unpin(call: Call) -> Answer:
    call.workspace.clusters.pin(find(call).cluster_id, None)
    return {}


def list_clusters(call: Call) -> Answer:
    """Those that its caller may attach to; `filter_by` and `sort_by` come as `filter_by.name`."""
    states = _choices(call, "filter_by.cluster_states", STATES)
    sources = _choices(call, "filter_by.cluster_sources", SOURCES)
    found = [
        cluster
        for cluster in visible(call)
        if (not states or cluster.state in states)
        and (not sources or cluster.source in sources)
        and (
            "filter_by.is_pinned" not in call.parameters
            or call.flag("filter_by.is_pinned") == (cluster.pinned_by is not None)
        )
        and not call.parameters.get("filter_by.policy_id")  # no cluster has one
    ]
    sort = call.text("sort_by.field", "DEFAULT")
    if sort not in SORTS or call.text("sort_by.direction", "ASC") not in ("ASC", "DESC"):
        raise invalid(f"sort_by needs a field, one of {', '.join(SORTS)}, and ASC or DESC.")
    found.sort(key=SORTS[sort], reverse=call.text("sort_by.direction", "ASC") == "DESC")
    size, start = call.number("page_size", 100) or 100, after(call, 0)
    if not 0 < size <= 100:
        raise invalid(f"page_size must be between 1 and 100, not {size}.")
    return {
        "clusters": [_view(call, cluster) for cluster in found[start : start + size]],
        "next_page_token": encode_token([start + size]) if start + size < len(found) else "",
        "prev_page_token": encode_token([max(0, start - size)]) if start else "",
    }


def _choices(call: Call, name: str, known: Sequence[str]) -> Sequence[str]:
    """A parameter of the query that may be repeated."""
    given = call.parameters.get(name, [])
    chosen = given if isinstance(given, list) else [given]
    for value in chosen:
        if value not in known:
            raise invalid(f"{name} must be one of {', '.join(known)}.")
    return chosen


def start(call: Call) -> Answer:
    cluster = find(call)
    if not call.workspace.clusters.start(cluster.cluster_id):
        raise _unexpected(find(call))
    return {}


def restart(call: Call) -> Answer:
    cluster = find(call)
    if not call.workspace.clusters.restart(cluster.cluster_id):
        raise _unexpected(find(call))
    call.workspace.engine.end_tasks_on(cluster.cluster_id)
    return {}


def delete(call: Call) -> Answer:
    """Terminate. A terminated cluster stays, and can be started again."""
    cluster = find(call)
    if cluster.state != "TERMINATED":
        call.workspace.clusters.terminate(
            cluster.cluster_id, "USER_REQUEST", {"username": call.me.name}
        )
        call.workspace.engine.end_tasks_on(cluster.cluster_id)
    return {}


def permanent_delete(call: Call) -> Answer:
    cluster = find(call)
    delete(call)
    call.workspace.clusters.forget(cluster.cluster_id)
    return {}


def resize(call: Call) -> Answer:
    cluster = find(call)
    if cluster.state != "RUNNING":
        raise _unexpected(cluster)
    spec = {k: v for k, v in cluster.spec.items() if k not in ("num_workers", "autoscale")}
    if call.mapping("autoscale"):
        spec["autoscale"] = call.mapping("autoscale")
    else:
        spec["num_workers"] = call.number("num_workers")
    call.workspace.clusters.change(cluster.cluster_id, spec)
    return {}


def events(call: Call) -> Answer:
    cluster = find(call)
    found = call.workspace.clusters.events(cluster.cluster_id)
    if call.text("order", "DESC") != "ASC":
        found.reverse()
    types = call.parameters.get("event_types") or []
    check_texts(types, "event_types")
    since, until = call.number("start_time", 0), call.number("end_time", 2**62)
    found = [
        event
        for event in found
        if since <= event["timestamp"] <= until and (not types or event["type"] in types)
    ]
    start, limit = call.number("offset", 0), call.number("limit", 50)
    if start < 0 or not 0 < limit <= 500:
        raise invalid("limit must be between 1 and 500, and offset not negative.")
    answer: dict[str, Any] = {"events": found[start : start + limit], "total_count": len(found)}
    if start + limit < len(found):
        answer["next_page"] = {**call.parameters, "offset": start + limit, "limit": limit}
    return answer


def visible(call: Call) -> list[Cluster]:
    """The clusters that a call's principal may see."""
    permissions = call.workspace.permissions
    return [
        cluster
        for cluster in call.workspace.clusters.all()
        if permissions.on_cluster(call.me, cluster.cluster_id)
    ]


def find(call: Call) -> Cluster:
    """The cluster that a call names, or its error."""
    cluster_id = call.text("cluster_id")
    try:
        return call.workspace.clusters.get(cluster_id)
    except ClusterMissing:
        raise invalid(f"Cluster {cluster_id} does not exist") from None


def _unexpected(cluster: Cluster) -> ApiError:
    message = f"Cluster {cluster.cluster_id} is in unexpected state {cluster.state.capitalize()}."
    return ApiError(400, "INVALID_STATE", message)


def check_spec(call: Call) -> Mapping[str, Any]:
    """A cluster's specification, or the error that says what is wrong with it."""
    spec = {k: v for k, v in call.parameters.items() if v is not None and k != "cluster_id"}
    for name in REFUSED:
        if spec.get(name):
            raise not_served(f"clusters with '{name}' yet")
    _check_runtime(call)
    node_types = ", ".join(NODE_TYPES)
    for name in ("node_type_id", "driver_node_type_id"):
        if name in spec and spec[name] not in NODE_TYPES:
            raise invalid(
                f"Node type {spec[name]} is not supported. Supported node types: {node_types}"
            )
    if "node_type_id" not in spec:
        raise invalid(f"node_type_id is missing. Supported node types: {node_types}")
    if call.mapping("autoscale"):
        low, high = (spec["autoscale"].get(f"{end}_workers") for end in ("min", "max"))
        if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high):
            raise invalid("autoscale needs 0 <= min_workers <= max_workers.")
    elif call.number("num_workers", 0) < 0:
        raise invalid("num_workers must not be negative.")
    minutes = call.number("autotermination_minutes", 0)
    if minutes and not 10 <= minutes <= 10_000:
        raise invalid("autotermination_minutes must be 0, or between 10 and 10000.")
    for name in ("spark_env_vars", "spark_conf", "custom_tags"):
        for key, value in call.mapping(name).items():
            if not isinstance(value, str) or "\0" in key + value:
                raise invalid(f"{name}: the value of '{key}' must be a text.")
            if "{{secrets/" in value and name != "spark_env_vars":
                raise not_served(f"secrets in '{name}' yet")
    call.text("cluster_name", "")
    return spec


def _check_runtime(call: Call) -> None:
    key = call.text("spark_version")
    offered = call.workspace.clusters.interpreters.runtimes()
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


def _view(call: Call, cluster: Cluster) -> dict[str, Any]:
    creator = cluster.creator or call.workspace.user
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


def versions(method: str, path: str, answer: Any) -> list[Route]:
    return [Route(method, f"/api/{version}/clusters/{path}", answer) for version in VERSIONS]


ROUTES = (
    *versions("POST", "create", create),
    *versions("POST", "edit", edit),
    *versions("GET", "get", get),
    *versions("GET", "list", list_clusters),
    *versions("POST", "start", start),
    *versions("POST", "restart", restart),
    *versions("POST", "delete", delete),
    *versions("POST", "permanent-delete", permanent_delete),
    *versions("POST", "resize", resize),
    *versions("POST", "events", events),
    *versions("POST", "update", update),
    *versions("POST", "pin", pin),
    *versions("POST", "unpin", unpin),
)
