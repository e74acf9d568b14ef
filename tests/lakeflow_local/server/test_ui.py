"""The web UI: in a real browser, and over plain HTTP for what no browser would send."""

from __future__ import annotations

import hmac
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import ForEachTask, RunResultState, Task, TaskDependency
from playwright.sync_api import Browser, BrowserContext, Page, expect  # pants: no-infer-dep

from lakeflow_local import daemon
from lakeflow_local.daemon import Endpoint
from lakeflow_local.server.ui.formatting import duration, plain, size
from lakeflow_local.server.ui.logs import read_piece
from tests.lakeflow_local.browser import NoBrowser, chromium
from tests.lakeflow_local.helpers import (
    ask,
    finish,
    is_gone,
    make_job,
    present,
    probe_task,
    probe_wheel,
    start_cluster,
    trigger,
    until,
    upload,
)
from tests.support.wheels import make_wheel

expect.set_options(timeout=30_000)

HTML = {"Accept": "text/html"}
WORDS = "<script>document.title = 'taken'</script> & words"
TALK = """
import sys, time
from pathlib import Path

def talk():
    gate = Path(sys.argv[1])
    print("\\x1b[31mthe first line\\x1b[0m", flush=True)
    while not (gate / "second").exists():
        time.sleep(0.01)
    print(sys.argv[2], flush=True)
    while not (gate / "end").exists():
        time.sleep(0.01)
    raise ValueError("of the <test>")
"""


@dataclass(frozen=True)
class Talk:
    """A run that prints its second line and fails on request."""

    job_id: int
    run_id: int
    gate: Path

    def print_line(self) -> None:
        (self.gate / "second").touch()

    def fail(self) -> None:
        (self.gate / "end").touch()


@pytest.fixture(scope="module")
def other_cluster(client: WorkspaceClient) -> str:
    """A cluster for the probe of other tests, whose package has the same name."""
    return start_cluster(client)


@pytest.fixture
def talk(client: WorkspaceClient, cluster: str, tmp_path: Path) -> Iterator[Talk]:
    points = {"a_group": {"run-talk": "talk:talk"}}
    wheel = make_wheel(tmp_path, "probe", "1.0", {"talk.py": TALK}, entry_points=points)
    task = probe_task(cluster, upload(client, wheel), "talk", str(tmp_path), WORDS)
    job_id = make_job(client, [task], name="a <b>job</b>")
    run_id = trigger(client, job_id)
    yield Talk(job_id, run_id, tmp_path)
    client.jobs.cancel_run(run_id)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as found:
            yield found
    except NoBrowser as reason:
        pytest.skip(str(reason))


@pytest.fixture
def page(browser: Browser, endpoint: Endpoint) -> Iterator[Page]:
    """A logged-in page, at the list of runs."""
    context = browser.new_context()
    yield log_in(context, endpoint)
    context.close()


def log_in(context: BrowserContext, endpoint: Endpoint) -> Page:
    page = context.new_page()
    page.goto(daemon.page_link(endpoint))
    page.wait_for_url(f"{endpoint.host}/")
    return page


@pytest.fixture
def visitor(endpoint: Endpoint) -> requests.Session:
    """A session that is logged in without a browser."""
    session = requests.Session()
    session.headers.update(HTML)
    assert session.get(daemon.page_link(endpoint)).status_code == 200
    return session


def test_a_run_is_opened_watched_and_cancelled(
    page: Page, endpoint: Endpoint, client: WorkspaceClient, talk: Talk
) -> None:
    page.get_by_role("link", name=str(talk.run_id), exact=True).click()
    expect(page.get_by_role("heading", name=f"Run {talk.run_id}")).to_be_visible()
    log = page.locator("pre.log")
    expect(log).to_contain_text("the first line")
    expect(log).not_to_contain_text("\x1b")
    expect(log).not_to_contain_text("words")
    talk.print_line()
    expect(log).to_contain_text(WORDS)
    expect(page).to_have_title(re.compile(f"^{talk.run_id} running · a <b>job</b>"))
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator("#state")).to_have_text("canceled")
    expect(page.get_by_role("button", name="Cancel run")).to_have_count(0)
    run = client.jobs.get_run(talk.run_id)
    assert run.state
    assert run.state.result_state == RunResultState.CANCELED


def test_an_open_page_shows_the_outcome_of_a_run(
    page: Page, endpoint: Endpoint, talk: Talk
) -> None:
    page.goto(f"{endpoint.host}/jobs/{talk.job_id}/runs/{talk.run_id}")
    expect(page.locator("#state")).to_have_text("running")
    talk.print_line()
    talk.fail()
    expect(page.locator("#state")).to_have_text("failed")
    expect(page.locator("#error")).to_contain_text("ValueError: of the <test>")
    expect(page.locator("#error")).to_contain_text("Traceback (most recent call last)")


def test_failed_tasks_are_retried_with_the_runs_parameters(
    page: Page, endpoint: Endpoint, client: WorkspaceClient, other_cluster: str, tmp_path: Path
) -> None:
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    tasks = [
        probe_task(other_cluster, wheel, "echo", task_key="good"),
        probe_task(other_cluster, wheel, "fail", "{{job.parameters.word}}", task_key="bad"),
    ]
    job_id = make_job(client, tasks, parameters={"word": "default"})
    run_id = trigger(client, job_id, job_parameters={"word": "given"})
    finish(client, run_id)
    for attempt in (2, 3):
        page.goto(f"{endpoint.host}/jobs/{job_id}/runs/{run_id}")
        page.get_by_role("button", name="Retry failed").click()
        expect(page.locator("#tasks tbody tr")).to_have_count(attempt + 1)
        run = finish(client, run_id)
        assert run.tasks
        assert [task.task_key for task in run.tasks].count("bad") == attempt
        assert run.job_parameters
        assert [parameter.value for parameter in run.job_parameters] == ["given"]


def test_the_graph_of_the_tasks(
    browser: Browser,
    endpoint: Endpoint,
    client: WorkspaceClient,
    other_cluster: str,
    tmp_path: Path,
) -> None:
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))

    def task(key: str, function: str, *after: str) -> Task:
        waits = [TaskDependency(task_key=name) for name in after]
        return probe_task(other_cluster, wheel, function, task_key=key, depends_on=waits)

    tasks = [task("a", "version"), task("b", "fail", "a"), task("c", "version", "a", "b")]
    job_id = make_job(client, tasks)
    run_id = trigger(client, job_id)
    finish(client, run_id)
    context = browser.new_context(java_script_enabled=False)
    page = log_in(context, endpoint)
    page.goto(f"{endpoint.host}/jobs/{job_id}")
    expect(page.locator("#graph g")).to_have_count(3)
    expect(page.locator("#graph .arrow")).to_have_count(3)
    page.goto(f"{endpoint.host}/jobs/{job_id}/runs/{run_id}")
    expect(page.locator("#graph g.good")).to_have_text(re.compile(r"asucceeded, \d"))
    expect(page.locator("#graph g.bad")).to_have_count(2)
    page.locator("#graph a").first.click()
    expect(page.get_by_role("heading", name="Output of a")).to_be_visible()
    context.close()


def test_iterations_of_a_for_each_task(
    page: Page, endpoint: Endpoint, client: WorkspaceClient, other_cluster: str, tmp_path: Path
) -> None:
    wheel = upload(client, probe_wheel(tmp_path, "1.0"))
    each = ForEachTask(inputs='["a", "b"]', task=probe_task(other_cluster, wheel, "version"))
    job_id = make_job(client, [Task(task_key="each", for_each_task=each)])
    run_id = trigger(client, job_id)
    finish(client, run_id)
    page.goto(f"{endpoint.host}/jobs/{job_id}/runs/{run_id}")
    expect(page.get_by_role("heading", name="Iterations of each")).to_be_visible()
    expect(page.locator("#iterations tbody tr")).to_have_count(2)
    page.locator("#iterations tbody a").first.click()
    expect(page.locator("pre.log")).to_contain_text("the first text")


def test_the_links_of_the_api_lead_to_the_run(
    page: Page, endpoint: Endpoint, client: WorkspaceClient, talk: Talk
) -> None:
    run = client.jobs.get_run(talk.run_id)
    assert run.run_page_url
    assert run.tasks
    assert run.tasks[0].run_page_url
    for url in (run.run_page_url, run.tasks[0].run_page_url):
        page.goto("about:blank")
        page.goto(url)
        expect(page.get_by_role("heading", name=f"Run {talk.run_id}")).to_be_visible()


def test_without_javascript(browser: Browser, endpoint: Endpoint, talk: Talk) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = log_in(context, endpoint)
    page.get_by_role("link", name=str(talk.run_id), exact=True).click()
    expect(page.locator("pre.log")).to_contain_text("the first line")
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator("#state")).to_have_text("canceled")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(
    browser: Browser, endpoint: Endpoint, cluster: str, talk: Talk, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = log_in(context, endpoint)
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    job = f"/jobs/{talk.job_id}"
    for path in (
        "/",
        "/?active",
        "/jobs",
        job,
        f"{job}/runs/{talk.run_id}",
        "/clusters",
        f"/clusters/{cluster}",
        "/files",
        "/files/Workspace/Users",
        "/secrets",
    ):
        page.goto(endpoint.host + path)
        expect(page.locator("main")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(21, 24, 27)") == (scheme == "dark")
    assert messages == []
    context.close()


def test_another_site_cannot_cancel(page: Page, endpoint: Endpoint, talk: Talk) -> None:
    """`localhost` is another site than 127.0.0.1; this page of it even has the form token."""
    page.goto(f"{endpoint.host}/jobs/{talk.job_id}/runs/{talk.run_id}")
    token = page.locator("#actions input[name=token]").input_value()
    form = f"""
        <form method="post" action="{endpoint.host}/jobs/{talk.job_id}/runs/{talk.run_id}/cancel">
          <input name="token" value="{token}"><button>Win a prize</button>
        </form>"""
    page.route("**/evil", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto(f"http://localhost:{urlsplit(endpoint.host).port}/evil")
    with page.expect_response("**/cancel") as answer:
        page.get_by_role("button").click()
    assert answer.value.status in (401, 403)
    page.goto(f"{endpoint.host}/jobs/{talk.job_id}/runs/{talk.run_id}")
    expect(page.locator("#state")).to_have_text("running")


def test_a_form_needs_its_token_its_origin_and_its_session(
    endpoint: Endpoint, client: WorkspaceClient, visitor: requests.Session, talk: Talk
) -> None:
    url = f"{endpoint.host}/jobs/{talk.job_id}/runs/{talk.run_id}"
    found = re.search(r'name="token" value="(\w+)"', visitor.get(url).text)
    assert found is not None
    good, origin = {"token": found[1]}, {"Origin": endpoint.host}
    assert visitor.post(f"{url}/cancel", data=good).status_code == 403
    for other in ("null", "http://evil.example", endpoint.host.replace("127.0.0.1", "localhost")):
        answer = visitor.post(f"{url}/cancel", data=good, headers={"Origin": other})
        assert answer.status_code == 403
    for data in ({}, {"token": "wrong"}, {"token": "é"}, {"token": found[1], "x": "x" * 5000}):
        assert visitor.post(f"{url}/cancel", data=data, headers=origin).status_code == 403
    another = requests.Session()
    another.get(daemon.page_link(endpoint), headers=HTML)
    assert another.post(f"{url}/cancel", data=good, headers=origin).status_code == 403
    nobody = requests.post(f"{url}/cancel", data=good, headers={**origin, **HTML})
    assert nobody.status_code == 401
    assert visitor.get(f"{url}/cancel").status_code != 200
    assert ">Cancel run<" in visitor.get(url).text
    assert visitor.post(f"{url}/cancel", data=good, headers=origin).url == url
    finish(client, talk.run_id)
    assert ">canceled<" in visitor.get(url).text


def test_a_link_logs_in_once(endpoint: Endpoint) -> None:
    link = daemon.page_link(endpoint)
    first = requests.get(link, headers=HTML)
    assert first.status_code == 200
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    again = requests.get(link, headers=HTML)
    assert again.status_code == 401
    assert "was used before" in again.text
    assert "Set-Cookie" not in again.headers


def test_the_command_prints_a_link(state: Path) -> None:
    command = [sys.executable, "-m", "lakeflow", "local", "open"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert requests.get(done.stdout.strip(), headers=HTML).status_code == 200


def test_links_need_a_token(endpoint: Endpoint) -> None:
    assert requests.post(f"{endpoint.host}/lakeflow/login-links").status_code == 401
    wrong = ask(endpoint, "POST", "/lakeflow/login-links", token="wrong")
    assert wrong.status_code == 403


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_link_never_leads_elsewhere(endpoint: Endpoint, target: str) -> None:
    link = ask(endpoint, "POST", "/lakeflow/login-links", params={"next": target}).json()
    page = requests.get(endpoint.host + link["path"], headers=HTML)
    assert page.status_code == 200
    assert "evil" not in page.text


def test_other_visitors_see_how_to_log_in(endpoint: Endpoint) -> None:
    for path in ("/", "/jobs/1/runs/2", "/secrets", "/files/Workspace"):
        answer = requests.get(endpoint.host + path, headers=HTML)
        assert answer.status_code == 401
        assert "lakeflow-local open" in answer.text


@pytest.mark.parametrize("value", ["", ".", "1.x.y", "9999999999.nonce." + "0" * 64, "é"])
def test_an_invalid_cookie_is_refused(endpoint: Endpoint, value: str) -> None:
    port = urlsplit(endpoint.host).port
    headers: dict[str, str | bytes] = {**HTML, "Cookie": f"lakeflow_{port}={value}".encode()}
    assert requests.get(endpoint.host, headers=headers).status_code == 401


def test_a_cookie_of_an_earlier_version_is_refused(endpoint: Endpoint) -> None:
    """It is signed with the workspace's token, but has no principal."""
    session = "9999999999.nonce"
    text = f"session\0{session}".encode()
    signature = hmac.new(endpoint.token.encode(), text, "sha256").hexdigest()
    cookie = f"lakeflow_{urlsplit(endpoint.host).port}={session}.{signature}"
    answer = requests.get(endpoint.host, headers={**HTML, "Cookie": cookie}, timeout=10)
    assert answer.status_code == 401


def test_a_foreign_host_name_is_refused(endpoint: Endpoint, visitor: requests.Session) -> None:
    for path in ("/", "/login?code=x", "/assets/style.css"):
        answer = visitor.get(endpoint.host + path, headers={"Host": "evil.example"})
        assert answer.status_code == 403


def test_logging_out(endpoint: Endpoint, visitor: requests.Session) -> None:
    found = re.search(r'name="token" value="(\w+)"', visitor.get(endpoint.host).text)
    assert found is not None
    headers = {"Origin": endpoint.host}
    visitor.post(f"{endpoint.host}/logout", data={"token": found[1]}, headers=headers)
    assert visitor.get(endpoint.host).status_code == 401


def test_a_login_outlives_a_killed_server_until_down(state: Path) -> None:
    first = daemon.ensure_up()
    visitor = requests.Session()
    visitor.get(daemon.page_link(first), headers=HTML)
    pid = present(daemon.status()).pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_gone(pid) or None)
    assert daemon.ensure_up().host == first.host
    assert visitor.get(first.host, headers=HTML).status_code == 200
    daemon.down()
    assert visitor.get(daemon.ensure_up().host, headers=HTML).status_code == 401
    daemon.reset()
    assert visitor.get(daemon.ensure_up().host, headers=HTML).status_code == 401


def test_no_page_may_run_scripts_or_be_framed(
    endpoint: Endpoint, visitor: requests.Session, talk: Talk
) -> None:
    page = visitor.get(f"{endpoint.host}/jobs/{talk.job_id}/runs/{talk.run_id}")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cache-Control"] == "no-store"
    assert "<b>job" not in page.text
    assert "&lt;b&gt;job" in page.text


def test_secrets_by_name_only(
    endpoint: Endpoint, client: WorkspaceClient, visitor: requests.Session
) -> None:
    client.secrets.create_scope("of-the-page")
    client.secrets.put_secret("of-the-page", "API_KEY", string_value="canary-7421")
    page = visitor.get(f"{endpoint.host}/secrets").text
    assert "of-the-page" in page
    assert "API_KEY" in page
    assert "canary" not in page


def test_files_are_shown_as_text_and_never_as_pages(
    endpoint: Endpoint, client: WorkspaceClient, mount: Path, visitor: requests.Session
) -> None:
    folder = mount / "Volumes" / "main" / "default" / "lakeflow" / "a & b"
    folder.mkdir()
    (folder / "x.html").write_text("<script>alert(1)</script>")
    (folder / "bytes").write_bytes(b"\0\xff")
    (folder / "out").symlink_to("/etc")
    url = f"{endpoint.host}/files/Volumes/main/default/lakeflow/a%20%26%20b"
    assert "a &amp; b" in visitor.get(url).text
    shown = visitor.get(f"{url}/x.html")
    assert shown.headers["Content-Type"].startswith("text/html")
    assert "&lt;script&gt;alert(1)" in shown.text
    loaded = visitor.get(f"{url}/x.html?download")
    assert loaded.text == "<script>alert(1)</script>"
    assert loaded.headers["Content-Type"] == "application/octet-stream"
    assert loaded.headers["Content-Disposition"].startswith("attachment")
    assert "Not text" in visitor.get(f"{url}/bytes").text
    assert visitor.get(f"{url}/out/hostname").status_code == 400
    for path in ("..%2f..%2ftoken", "Workspace/..%2f..%2ftoken", "Workspace/%00", "nowhere"):
        assert visitor.get(f"{endpoint.host}/files/{path}").status_code in (400, 404)


def test_missing_pages(endpoint: Endpoint, visitor: requests.Session) -> None:
    for path in ("/jobs/999999", "/jobs/1/runs/999999", "/clusters/none", "/assets/none"):
        answer = visitor.get(endpoint.host + path)
        assert answer.status_code == 404, path
        assert answer.headers["Content-Type"].startswith("text/html")
    assert visitor.get(f"{endpoint.host}/?page=none").status_code == 400


def test_a_bearer_token_gives_access(endpoint: Endpoint) -> None:
    page = ask(endpoint, "GET", "/")
    assert page.status_code == 200
    assert "<form" not in page.text


def test_the_whole_log(
    endpoint: Endpoint, client: WorkspaceClient, visitor: requests.Session, talk: Talk
) -> None:
    talk.print_line()
    talk.fail()
    run = finish(client, talk.run_id)
    assert run.tasks
    url = f"{endpoint.host}/jobs/{talk.job_id}/runs/{talk.run_id}/log/{run.tasks[0].run_id}"
    whole = visitor.get(url)
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert whole.text == f"\x1b[31mthe first line\x1b[0m\n{WORDS}\n"
    piece = visitor.get(f"{url}?from=0").json()
    end = len(whole.content)
    assert piece == {"text": f"the first line\n{WORDS}\n", "end": end, "done": True}
    assert visitor.get(f"{url}?from={end}").json() == {"text": "", "end": end, "done": True}
    assert visitor.get(f"{endpoint.host}/jobs/1/runs/{talk.run_id}/log/1").status_code == 404


def test_pieces_of_a_growing_log_break_no_character(tmp_path: Path) -> None:
    log = tmp_path / "log"
    content = "é\x1b[31mred\x1b[0m €".encode()
    said, start = "", 0
    for end in range(len(content) + 1):
        log.write_bytes(content[:end])
        piece = read_piece(log, start, growing=end < len(content))
        said, start = said + plain(piece.text), piece.end
    assert said == "éred €"
    assert read_piece(tmp_path / "none", None, growing=True).size == 0


def test_the_tail_of_a_long_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    piece = read_piece(log, None, growing=False)
    assert re.match(r"line \d+\n", piece.text)
    assert piece.text.endswith("line 99999\n")
    assert piece.start > 0
    assert piece.end == piece.size == log.stat().st_size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10 %\r20 %\r\n", "10 %\n20 %\n"),
        ("\x1b]0;title\x07a\x1b[2Kb\x1b(Bc", "abc"),
        ("a\0b\x7f", "a␀b␡"),
        ("\u202egpj.exe", "�gpj.exe"),
    ],
)
def test_control_characters_are_visible(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (40, "0.0 s"),
        (9_940, "9.9 s"),
        (9_960, "10 s"),
        (59_700, "1 min 00 s"),
        (3_599_600, "1 h 00 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_durations(milliseconds: int, shown: str) -> None:
    assert duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (999_999, "1 MB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown
