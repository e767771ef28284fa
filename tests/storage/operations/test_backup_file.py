"""The file of a backup: what is written is read, and nothing else is."""

import hashlib
import io
import random
import tarfile
import zlib
from collections.abc import Callable

import msgspec
import pytest

from engine.operations.backup import OWNER, PART_BYTES, POSTGRES, BackupError, BackupMember
from storage.operations.backup_file import GZIP, BackupReader, BackupWriter
from tests.engine.operations.test_backup import manifest

SQL = b"SELECT 1;\n" * 500
MOMENT_S = 1_780_000_000


def written(sql: bytes = SQL) -> bytes:
    out = io.BytesIO()
    writer = BackupWriter(out, MOMENT_S)
    writer.add(OWNER, b"{}")
    stream = writer.stream(POSTGRES)
    for start in range(0, len(zipped := gzipped(sql)), 1 << 20):
        stream.write(zipped[start : start + (1 << 20)])
    stream.close()
    writer.finish(manifest())
    assert writer.size == len(out.getvalue())
    return out.getvalue()


def gzipped(data: bytes) -> bytes:
    zipper = zlib.compressobj(1, zlib.DEFLATED, GZIP)
    return zipper.compress(data) + zipper.flush()


def reader(data: bytes) -> BackupReader:
    backup = BackupReader(io.BytesIO(data))
    backup.verify()
    return backup


def refusal(data: bytes) -> str:
    with pytest.raises(BackupError) as refused:
        reader(data)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_written_is_read() -> None:
    backup = reader(written())
    assert backup.streams() == [OWNER, POSTGRES]
    assert b"".join(backup.parts(OWNER)) == b"{}"
    assert b"".join(backup.unzipped(POSTGRES)) == SQL


def test_other_tools_read_it_too() -> None:
    with tarfile.open(fileobj=io.BytesIO(written())) as tar:
        names = tar.getnames()
        assert names == [
            OWNER, f"{POSTGRES}.000000", "manifest.json", "manifest.json.sha256",
        ]  # fmt: skip
        assert {(member.mode, member.mtime) for member in tar.getmembers()} == {(0o600, MOMENT_S)}


def test_a_stream_is_cut_into_parts_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.operations.backup_file.PART_BYTES", 5_000)
    noise = random.Random(1).randbytes(12_000)
    backup = reader(written(noise))
    assert [len(part) == 5_000 for part in backup.parts(POSTGRES)] == [True, True, False]
    assert b"".join(backup.unzipped(POSTGRES)) == noise


def test_a_small_part_does_not_unzip_into_much_memory() -> None:
    backup = reader(written(bytes(1 << 22)))
    assert [len(chunk) for chunk in backup.unzipped(POSTGRES)] == [1 << 20] * 4


def test_no_byte_can_be_flipped_unnoticed() -> None:
    data = written(b"SELECT 1;\n")
    for at in range(0, len(data), 5):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        refusal(bytes(flipped))


def test_it_can_be_cut_nowhere() -> None:
    data = written(b"SELECT 1;\n")
    for length in [*range(0, len(data), 64), len(data) - 1]:
        refusal(data[:length])
    assert "goes on behind its end" in refusal(data + b"\0")


def forged(*changed: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A tar whose manifest and checksums are right, with members of another making in front."""
    out = io.BytesIO()
    for info in changed:
        out.write(info.tobuf(tarfile.USTAR_FORMAT))
        out.write(content + bytes(-len(content) % 512))
    writer = BackupWriter(out, MOMENT_S)
    for info in changed:
        writer.members.append(
            BackupMember(info.name, len(content), hashlib.sha256(content).hexdigest())
        )
    writer.finish(manifest())
    return out.getvalue()


def info(
    name: str, change: Callable[[tarfile.TarInfo], object] = lambda info: None, size: int = 0
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime, member.size = 0o600, MOMENT_S, size
    change(member)
    return member


def of_type(kind: bytes, target: str = "") -> Callable[[tarfile.TarInfo], object]:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, target

    return change


def test_the_forger_of_these_tests_would_be_let_in_with_honest_members() -> None:
    assert reader(forged(info(OWNER, size=2), content=b"{}")).streams() == [OWNER]


@pytest.mark.parametrize(
    "member",
    [
        info("../../etc/cron.d/x"),
        info("/root/.ssh/authorized_keys"),
        info("journals/../owner.json"),
        info("postgres.sql.gz"),
        info(OWNER, of_type(tarfile.SYMTYPE, "/etc/passwd")),
        info(OWNER, of_type(tarfile.LNKTYPE, "/etc/passwd")),
        info(OWNER, of_type(tarfile.CHRTYPE)),
        info(OWNER, of_type(tarfile.FIFOTYPE)),
        info(OWNER, of_type(tarfile.DIRTYPE)),
        info(OWNER, of_type(tarfile.GNUTYPE_SPARSE)),
        info(OWNER, lambda member: setattr(member, "mode", 0o4755)),
        info(OWNER, lambda member: setattr(member, "uid", 1)),
    ],
    ids=lambda member: f"{member.name}-{member.type!r}-{member.mode:o}",
)
def test_members_of_another_making_are_refused(member: tarfile.TarInfo) -> None:
    refusal(forged(member))


def test_a_member_larger_than_a_part_is_refused_before_it_is_read() -> None:
    assert "is not as a backup has it" in refusal(
        info(OWNER, size=PART_BYTES + 1).tobuf(tarfile.USTAR_FORMAT)
    )


def test_a_member_that_is_missing_or_twice_is_refused() -> None:
    for members in ([], [BackupMember(OWNER, 0, "0" * 64)], [BackupMember("x", 1, "")] * 2):
        out = io.BytesIO()
        writer = BackupWriter(out, MOMENT_S)
        writer.add(OWNER, b"{}")
        writer.members = members
        writer.finish(manifest())
        refusal(out.getvalue())


def test_nothing_may_follow_the_manifest() -> None:
    out = io.BytesIO()
    writer = BackupWriter(out, MOMENT_S)
    writer.finish(manifest())
    writer.finish(manifest())
    assert "goes on behind its end" in refusal(out.getvalue())
    assert "no manifest" in refusal(bytes(1024))
    assert "no backup" in refusal(b"x" * 2048)


def test_a_file_that_changes_after_the_check_is_noticed() -> None:
    file = io.BytesIO(written())
    backup = BackupReader(file)
    backup.verify()
    file.seek(512)
    file.write(b"[]")
    with pytest.raises(BackupError, match="changed while it was read"):
        list(backup.parts(OWNER))


def test_a_stream_that_is_no_whole_gzip_is_refused() -> None:
    for content in (gzipped(SQL)[:-9], b"SELECT 1;"):
        out = io.BytesIO()
        writer = BackupWriter(out, MOMENT_S)
        stream = writer.stream(POSTGRES)
        stream.write(content)
        stream.close()
        writer.finish(manifest())
        with pytest.raises(BackupError, match=r"unzipped|cut off"):
            list(reader(out.getvalue()).unzipped(POSTGRES))


def test_the_manifest_has_what_was_added() -> None:
    verified = BackupReader(io.BytesIO(written())).verify()
    assert [member.name for member in verified.members] == [OWNER, f"{POSTGRES}.000000"]
    assert msgspec.structs.replace(verified, members=[]) == manifest()
