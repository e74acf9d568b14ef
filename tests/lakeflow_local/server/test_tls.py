"""The local workspace over https."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import pytest
import requests
from databricks.sdk import WorkspaceClient

from lakeflow_local import daemon
from lakeflow_local.errors import WorkspaceError
from lakeflow_local.server import certificates
from tests.lakeflow_local.helpers import (
    connect,
    finish,
    logs,
    make_job,
    output,
    probe_task,
    result_of,
    start_cluster,
    trigger,
    upload,
)
from tests.support.wheels import make_wheel

IN_A_TASK = """
import json
from dbruntime.dbutils import DBUtils

def read():
    dbutils = DBUtils()
    print(json.dumps(dbutils.secrets.get("of-tls", "key")))
"""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemon.Endpoint]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        for name in certificates.TRUST_VARIABLES:
            patch.delenv(name, raising=False)
        endpoint = daemon.ensure_up(tls=True)
        for name, value in daemon.trust_variables(endpoint).items():
            patch.setenv(name, value)
        yield endpoint
        daemon.down()


def in_a_process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )


def test_the_sdk_and_a_task_speak_https(secured: daemon.Endpoint, tmp_path: Path) -> None:
    assert secured.host.startswith("https://127.0.0.1:")
    client = connect(secured)
    client.secrets.create_scope("of-tls")
    client.secrets.put_secret("of-tls", "key", string_value="read in a task")
    points = {"a_group": {"run-read": "read_it:read"}}
    wheel = make_wheel(tmp_path, "probe", "1.0", {"read_it.py": IN_A_TASK}, entry_points=points)
    task = probe_task(start_cluster(client), upload(client, wheel), "read")
    run = finish(client, trigger(client, make_job(client, [task])))
    assert json.loads(logs(output(client, run))) == "read in a task"
    assert result_of(run) == "SUCCESS"
    assert run.run_page_url
    assert run.run_page_url.startswith(secured.host)


def test_a_host_without_a_scheme_is_https(secured: daemon.Endpoint) -> None:
    client = WorkspaceClient(host=urlsplit(secured.host).netloc, token=secured.token)
    assert client.config.host == secured.host
    assert client.current_user.me().user_name


def test_trusted_by_openssl_at_its_strictest_and_by_nobody_else(secured: daemon.Endpoint) -> None:
    address = urlsplit(secured.host)
    context = ssl.create_default_context(cafile=secured.trust)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("127.0.0.1", "localhost"):
        with (
            socket.create_connection(("127.0.0.1", address.port or 0), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as wrapped,
        ):
            assert wrapped.version() in ("TLSv1.2", "TLSv1.3")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secured.host}/lakeflow/health", verify=certifi.where(), timeout=10)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"http://{address.netloc}/lakeflow/health", timeout=10)


def test_what_was_trusted_before_still_is(secured: daemon.Endpoint) -> None:
    assert secured.trust is not None
    bundle = secured.trust.read_bytes()
    assert bundle.count(b"BEGIN CERTIFICATE") == 1 + Path(certifi.where()).read_bytes().count(
        b"BEGIN CERTIFICATE"
    )


def test_the_key_is_for_nobody_else(secured: daemon.Endpoint) -> None:
    assert secured.trust is not None
    assert (secured.trust.parent / "key.pem").stat().st_mode & 0o777 == 0o600
    assert secured.trust.parent.stat().st_mode & 0o777 == 0o700
    keys = [path for path in secured.trust.parent.iterdir() if b"PRIVATE" in path.read_bytes()]
    assert [path.name for path in keys] == ["key.pem"]


def test_env_tells_clients_what_to_trust(secured: daemon.Endpoint) -> None:
    said = in_a_process("-m", "lakeflow", "local", "env").stdout
    shell = shutil.which("sh")
    assert shell is not None
    ask = (
        "import os, urllib.request as u;"
        "print(u.urlopen(os.environ['DATABRICKS_HOST'] + '/.well-known/databricks-config').status)"
    )
    done = subprocess.run(
        [shell, "-c", f'{said}\nexec "$0" -c "$1"', sys.executable, ask],
        env={name: text for name, text in os.environ.items() if "CA" not in name},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "200", done.stderr


def test_the_launcher_needs_no_configuration(secured: daemon.Endpoint) -> None:
    done = in_a_process(
        "-m", "lakeflow", "list-jobs", "--local", SSL_CERT_FILE="", REQUESTS_CA_BUNDLE=""
    )
    assert done.returncode == 0, done.stderr


def test_the_cookie_of_the_page_travels_by_https_only(secured: daemon.Endpoint) -> None:
    page = requests.get(daemon.page_link(secured), headers={"Accept": "text/html"}, timeout=10)
    assert page.status_code == 200
    assert "Secure" in page.headers["Set-Cookie"]


def test_tls_and_the_certificate_are_kept(state: Path) -> None:
    first = daemon.ensure_up(tls=True)
    assert first.trust is not None
    authority = (first.trust.parent / "authority.pem").read_bytes()
    with pytest.raises(WorkspaceError, match=r"already runs at .*, with TLS\nhint: stop it first"):
        daemon.ensure_up(tls=False)
    daemon.down()
    again = daemon.ensure_up()
    assert again.host == first.host
    assert (first.trust.parent / "authority.pem").read_bytes() == authority
    daemon.down()
    assert daemon.ensure_up(tls=False).host.startswith("http://")
    with pytest.raises(WorkspaceError, match=r"already runs at .*, without TLS"):
        daemon.ensure_up(tls=True)


def test_without_the_package_for_certificates(state: Path) -> None:
    """Without `cryptography` nothing is started."""
    program = (
        "import sys; sys.modules['cryptography'] = None; from lakeflow.cli import main; main()"
    )
    done = in_a_process("-c", program, "local", "up", "--tls")
    assert done.returncode == 2
    assert "lakeflow-local[tls]" in done.stderr
    assert not (state / "local").exists()
