"""`lakeflow-deploy src::` in a repo of eight distributions, twice, and from a second checkout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import monorepo
from tests.e2e.scratch import Repo, make_repo, processes


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> Iterator[Repo]:
    repo = make_repo(tmp_path_factory.mktemp("monorepo"), Path.cwd(), wheels, monorepo.FILES)
    toml = repo.root / "pants.toml"
    text = toml.read_text()
    assert text.count("[python]\n") == 1
    toml.write_text(text.replace("[python]\n", monorepo.PYTHON) + monorepo.RESOLVES)
    yield repo
    repo.stop()


def test_row_0_20_everything_below_src_is_deployed_in_one_command(
    repo: Repo, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = repo.deploy("src::", "--", "--max-workers", "4", "--run", "now")
    assert done.code == 0, done.log
    assert "[WARN]" not in done.log
    for module in monorepo.JOBS:
        assert f"{module} on (3, " in done.out, done.log
    assert "pure on (3, 12) has what library says" in done.out
    assert "generated on (3, 12) has what library says" in done.out
    assert "native on (3, 10) has 42" in done.out
    assert "by_python on (3, 11)" in done.out
    assert 'with_data on (3, 12) has {"some": "data"}' in done.out
    assert "src/pure:dist uses code of src/library:dist" in done.log
    assert "src/library:dist: no job" in done.log
    first = repo.report()
    addresses = [target["address"] for target in first["targets"]]
    assert addresses == sorted(f"src/{m.replace('.', '/')}:dist" for m in monorepo.JOBS)

    again = repo.deploy("--stats-log", "src::", "--", "--max-workers", "4")
    assert again.code == 0, again.log
    assert processes(again) == 0
    assert uploaded(repo) == 0
    assert [t["job_id"] for t in repo.report()["targets"]] == [
        t["job_id"] for t in first["targets"]
    ]

    other = Repo(tmp_path_factory.mktemp("elsewhere") / "checkout", repo.state)
    shutil.copytree(repo.root, other.root, ignore=shutil.ignore_patterns(".p*.d", ".pids", "dist"))
    try:
        # Without the cache each wheel is built again, in other sandboxes.
        options = ("--no-local-cache", "--stats-log")
        elsewhere = other.pants(*options, "lakeflow-deploy", "src::", "--", "--max-workers", "4")
        assert elsewhere.code == 0, elsewhere.log
        assert processes(elsewhere) > len(monorepo.JOBS)
        assert uploaded(other) == 0
        assert [t["job_id"] for t in other.report()["targets"]] == [
            t["job_id"] for t in first["targets"]
        ]
    finally:
        other.stop_pants()


def uploaded(repo: Repo) -> int:
    """Bytes that the last deploy uploaded."""
    return sum(
        wheel["uploaded_bytes"] for target in repo.report()["targets"] for wheel in target["wheels"]
    )
