"""Log in with the token of a CI system, which a stub of its issuer signs."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lakeflow.operations.doctor import Finding
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher

SUBJECT = "repo:acme/models:environment:production"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Issuer:
    """An OpenID Connect issuer that gives ID tokens as GitHub Actions does."""

    url: str
    key: rsa.RSAPrivateKey
    subject: str = SUBJECT

    def token(self, audience: str, **claims: Any) -> str:
        body = {
            "iss": self.url,
            "sub": self.subject,
            "aud": audience,
            "exp": int(time.time()) + 300,
            **claims,
        }
        parts = [{"alg": "RS256", "kid": "1"}, body]
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encoded(signature)}"

    def reply(self, path: str) -> dict[str, Any]:
        address = urlsplit(path)
        if address.path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if address.path == "/keys":
            numbers = self.key.public_key().public_numbers()
            n, e = (encoded(x.to_bytes(256, "big").lstrip(b"\0")) for x in (numbers.n, numbers.e))
            return {"keys": [{"kty": "RSA", "kid": "1", "n": n, "e": e}]}
        return {"value": self.token(parse_qs(address.query)["audience"][0])}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(found.reply(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Issuer(f"http://127.0.0.1:{server.server_port}", key)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pipeline(endpoint: Endpoint, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of GitHub Actions whose service principal accepts its tokens."""
    policy = {"principal": "deployer", "issuer": issuer.url, "subject": SUBJECT}
    requests.post(
        f"{endpoint.host}/lakeflow/federation-policies",
        json=policy,
        headers={"Authorization": f"Bearer {endpoint.token}"},
        timeout=30,
    ).raise_for_status()
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_AUTH_TYPE", "github-oidc")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "deployer")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of the job")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{issuer.url}/token?api-version=2.0")


def examined() -> dict[str, Finding]:
    return {finding.what: finding for finding in CapturedLauncher().launcher.diagnose()}


@pytest.mark.usefixtures("pipeline")
def test_a_pipeline_logs_in_without_a_stored_secret(endpoint: Endpoint, issuer: Issuer) -> None:
    findings = examined()
    assert findings["federation"].found == (
        f"github-oidc: issuer {issuer.url}, subject {SUBJECT}, "
        f"audience {endpoint.host}/oidc/v1/token"
    )
    assert (findings["login"].state, findings["login"].found) == ("ok", "deployer")


@pytest.mark.usefixtures("pipeline")
def test_a_token_of_another_subject_is_refused_and_the_policy_named(issuer: Issuer) -> None:
    issuer.subject = "repo:acme/models:pull_request"
    findings = examined()
    assert "subject repo:acme/models:pull_request" in findings["federation"].found
    assert findings["login"].state == "problem"
    assert "no federation policy of the service principal accepts" in findings["login"].found
    assert "federation policy of this service principal" in str(findings["login"].remedy)


@pytest.mark.usefixtures("pipeline")
def test_without_permission_for_tokens_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL")
    finding = examined()["federation"]
    assert finding.state == "problem"
    assert "id-token: write" in str(finding.remedy)


@pytest.mark.usefixtures("pipeline")
@pytest.mark.parametrize(
    ("claims", "complaint"),
    [
        ({"exp": 1}, "expired"),
        ({"aud": "https://elsewhere.test"}, "no federation policy"),
        ({"iss": "https://elsewhere.test"}, "no federation policy"),
        ({}, "signature"),
    ],
)
def test_tokens_that_are_not_accepted(
    endpoint: Endpoint, issuer: Issuer, claims: dict[str, Any], complaint: str
) -> None:
    token = issuer.token(f"{endpoint.host}/oidc/v1/token", **claims)
    if complaint == "signature":
        token = token[:-8] + ("A" * 8)
    response = requests.post(
        f"{endpoint.host}/oidc/v1/token",
        data={
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": token,
            "client_id": "deployer",
        },
        timeout=30,
    )
    assert response.status_code == 401
    assert response.json()["error"] == "invalid_grant"
    assert complaint in response.json()["error_description"]
