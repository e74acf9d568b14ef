from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO, Any, cast

import pytest

from lakeflow.wheels.archive import have_same_content
from lakeflow.wheels.stamping import stamp
from lakeflow.wheels.wheel import Wheel, read_wheel
from tests.support.built_wheels import install, make_built_wheel, run


class Forward(io.RawIOBase):
    """A file without seek: ZIP archives written to it have data descriptors."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return self._file.write(data)


def recompressed(wheel: Wheel, folder: Path, *, level: int = 6, forward: bool = False) -> Wheel:
    """Return a wheel of the same files with other compression, dates, comments and extra fields."""
    folder.mkdir()
    path = folder / wheel.path.name
    with zipfile.ZipFile(wheel.path) as source, path.open("wb") as file:
        target = Forward(file) if forward else file
        with zipfile.ZipFile(cast("IO[bytes]", target), "w") as archive:
            for info in source.infolist():
                entry = zipfile.ZipInfo(info.filename, date_time=(2001, 2, 3, 4, 5, 6))
                entry.external_attr, entry.comment = info.external_attr, b"a comment"
                entry.extra = b"\xfe\xca\x02\x00ab"
                entry.compress_type = zipfile.ZIP_DEFLATED
                if "stored" in info.filename:
                    entry.compress_type = zipfile.ZIP_STORED
                if "bzip2" in info.filename:
                    entry.compress_type = zipfile.ZIP_BZIP2
                archive.writestr(entry, source.read(info), compresslevel=level)
    return read_wheel(path)


TEXTS = {
    f"acme/{name}": "".join(f"{name} {number * number}\n" for number in range(9000))
    for name in ("__init__.py", "stored.txt", "bzip2.txt", "größe.txt")
}
TEXTS["acme/__init__.py"] = "VALUE = 7\n" * 9000
TEXTS["acme/empty.txt"] = ""


@pytest.mark.parametrize("forward", [False, True])
def test_unchanged_members_keep_their_compressed_bytes(
    tmp_path: Path, python: Path, forward: bool
) -> None:
    plain = make_built_wheel(
        tmp_path / "plain", "acme", files=TEXTS, scripts={"acme-tool": "#!python\n"}
    )
    wheel = recompressed(plain, tmp_path / "again", level=9, forward=forward)

    (stamped,) = stamp([wheel], tmp_path / "one")
    (second,) = stamp([wheel], tmp_path / "two")

    assert second.wheel.sha256 == stamped.wheel.sha256
    with zipfile.ZipFile(wheel.path) as before, zipfile.ZipFile(stamped.wheel.path) as after:
        assert after.testzip() is None
        for name, text in TEXTS.items():
            old, new = before.getinfo(name), after.getinfo(name)
            assert after.read(name).decode() == text
            assert new.date_time == (1980, 1, 1, 0, 0, 0)
            assert (new.extra, new.comment, new.flag_bits & 8) == (b"", b"", 0)
            if "bzip2" in name:
                assert new.compress_type == zipfile.ZIP_DEFLATED
            else:
                assert new.compress_type == old.compress_type
                assert packed(stamped.wheel, new) == packed(wheel, old)
    install(python, stamped)
    assert run(python, "import acme; print(acme.VALUE)") == "7"


def packed(wheel: Wheel, info: zipfile.ZipInfo) -> bytes:
    """Return the compressed bytes of a member (APPNOTE.TXT 4.3.7: the local file header)."""
    data = wheel.path.read_bytes()[info.header_offset :]
    start = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    return data[start : start + info.compress_size]


def test_compression_changes_neither_stamp_nor_content(tmp_path: Path) -> None:
    plain = make_built_wheel(tmp_path / "plain", "acme", files=TEXTS)
    low = recompressed(plain, tmp_path / "low", level=1)
    other = make_built_wheel(
        tmp_path / "other", "acme", files={**TEXTS, "acme/empty.txt": "no more"}
    )

    (one,), (two,), (three,) = (
        stamp([wheel], tmp_path / f"out{n}") for n, wheel in enumerate([plain, low, other])
    )

    assert one.wheel.path.name == two.wheel.path.name
    assert one.wheel.size != two.wheel.size
    assert have_same_content(one.wheel.path, two.wheel.path)
    assert not have_same_content(one.wheel.path, three.wheel.path)
    two.wheel.path.write_bytes(two.wheel.path.read_bytes()[:-100])
    assert not have_same_content(one.wheel.path, two.wheel.path)
