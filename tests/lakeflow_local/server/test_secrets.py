"""Secrets, scopes and their ACLs."""

from __future__ import annotations

import base64

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, ResourceAlreadyExists, ResourceDoesNotExist
from databricks.sdk.service.workspace import AclPermission

from lakeflow_local.daemon import Endpoint
from tests.lakeflow_local.helpers import ask


def test_secrets(client: WorkspaceClient) -> None:
    client.secrets.create_scope("one")
    with pytest.raises((BadRequest, ResourceAlreadyExists), match="already exists"):
        client.secrets.create_scope("one")
    client.secrets.put_secret("one", "Key", string_value="first é")
    client.secrets.put_secret("one", "KEY", string_value="second é")
    assert len(list(client.secrets.list_secrets("one"))) == 1
    value = client.secrets.get_secret("one", "key").value
    assert value
    assert base64.b64decode(value).decode() == "second é"
    client.secrets.put_secret("one", "b", bytes_value=base64.b64encode(b"\0\xff").decode())
    assert client.secrets.get_secret("one", "b").value == base64.b64encode(b"\0\xff").decode()
    client.secrets.delete_secret("one", "key")
    with pytest.raises(ResourceDoesNotExist):
        client.secrets.get_secret("one", "key")
    client.secrets.delete_scope("one")
    assert "one" not in [scope.name for scope in client.secrets.list_scopes()]
    with pytest.raises(ResourceDoesNotExist):
        client.secrets.list_secrets("one").__next__()


def test_acls(client: WorkspaceClient) -> None:
    client.secrets.create_scope("two")
    me = client.current_user.me().user_name
    assert me
    assert client.secrets.get_acl("two", me).permission == AclPermission.MANAGE
    client.secrets.put_acl("two", "users", AclPermission.READ)
    client.secrets.put_acl("two", "users", AclPermission.WRITE)
    acls = {acl.principal: acl.permission for acl in client.secrets.list_acls("two")}
    assert acls == {me: AclPermission.MANAGE, "users": AclPermission.WRITE}
    client.secrets.delete_acl("two", "users")
    with pytest.raises(ResourceDoesNotExist):
        client.secrets.get_acl("two", "users")
    client.secrets.create_scope("three", initial_manage_principal="users")
    assert client.secrets.get_acl("three", "users").permission == AclPermission.MANAGE


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"key": "k"}, "MALFORMED_REQUEST"),
        ({"key": "k", "string_value": "", "bytes_value": ""}, "MALFORMED_REQUEST"),
        ({"key": "a b", "string_value": ""}, "INVALID_PARAMETER_VALUE"),
        ({"key": "k", "string_value": "x" * (128 * 1024 + 1)}, "RESOURCE_LIMIT_EXCEEDED"),
    ],
)
def test_wrong_secrets(
    client: WorkspaceClient, endpoint: Endpoint, body: dict[str, str], code: str
) -> None:
    if "four" not in [scope.name for scope in client.secrets.list_scopes()]:
        client.secrets.create_scope("four")
    answer = ask(endpoint, "POST", "/api/2.0/secrets/put", json={"scope": "four", **body})
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)
