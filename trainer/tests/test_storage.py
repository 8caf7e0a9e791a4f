"""Files by URI: whole or not there, and proved by a manifest."""

import errno
import json
import os
from pathlib import Path

import pytest

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.address import check_writable, store_at
from trainingjob.storage.folder import local_path, write_file
from trainingjob.storage.manifest import sha256, store_verified, verify


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "deep" / "file"
    write_file(path, b"old")
    with path.open("rb") as before:
        write_file(path, b"new and longer")
        assert before.read() == b"old"
    assert path.read_bytes() == b"new and longer"
    assert names(path.parent) == ["file"]


def test_disk_that_fails_leaves_the_old_file_and_nothing_half(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_file(path, b"old")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///volume/data/a.csv", "/volume/data/a.csv"),
        ("file://localhost/volume/a.csv", "/volume/a.csv"),
        ("file:///volume/two%20words%231.csv", "/volume/two words#1.csv"),
        ("file:///volume/..hidden/a..b", "/volume/..hidden/a..b"),
    ],
)
def test_path_of_a_uri(uri, path, monkeypatch, tmp_path):
    assert local_path(uri) == Path(path)
    monkeypatch.setenv("TRAININGJOB_FILE_ROOT", str(tmp_path))
    assert local_path(uri) == Path(f"{tmp_path}{path}")


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("s3://bucket/a.csv", "only file:/// and s3:// addresses can be used here; write file:///volume/"),
        ("/volume/a.csv", "only file:/// and s3:// addresses can be used here"),
        ("file://volume/a.csv", "only file:/// and s3:// addresses can be used here"),
        ("file:a.csv", "only file:/// and s3:// addresses can be used here"),
        ("", "only file:/// and s3:// addresses can be used here"),
        ("file:///volume/../etc/passwd", "must not contain '..'"),
        ("file:///volume/%2e%2e/etc/passwd", "must not contain '..'"),
        ("file:///volume/a%00b", "must not contain '..' or %00"),
        ("file:///volume/a#1.csv", "must not contain '?' or '#'; write %3F or %23"),
        ("file:///volume/a?b", "must not contain '?' or '#'; write %3F or %23"),
    ],
)
def test_uri_that_is_refused(uri, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("TRAININGJOB_FILE_ROOT", str(tmp_path))
    with pytest.raises(TrainingError) as caught:
        local_path(uri)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(TrainingError, match=r"cannot be written: .*; mount the network volume") as caught:
        check_writable((tmp_path / "taken").as_uri())
    assert caught.value.code == ExitCode.PREFLIGHT


def test_folder_that_can_be_written_is_left_as_it_was(tmp_path):
    check_writable((tmp_path / "new" / "folder").as_uri())
    assert names(tmp_path / "new" / "folder") == []


def test_removed_folder_is_gone_and_a_missing_one_is_no_fault(tmp_path):
    write_file(tmp_path / "folder" / "file", b"x")
    for _ in range(2):
        store_at(tmp_path.as_uri()).remove("folder")
    assert names(tmp_path) == []


@pytest.fixture
def stored(tmp_path):
    source = tmp_path / "source"
    write_file(source / "a.bin", bytes(range(256)))
    write_file(source / "b.json", b"{}")
    target = tmp_path / "target"
    sha = store_verified(source, target.as_uri(), 60, "1.2.3")
    return target, sha


def test_whoever_follows_hears_of_each_byte_twice(tmp_path):
    source = tmp_path / "source"
    heard: list[int] = []
    write_file(source / "large.bin", bytes(3 * 1024 * 1024))
    write_file(source / "b.json", b"{}")
    store_verified(source, (tmp_path / "target").as_uri(), 60, "1.2.3", heard.append)
    files = [path for path in source.iterdir() if path.name != "manifest.json"]
    assert sum(heard) == 2 * sum(path.stat().st_size for path in files) + (source / "manifest.json").stat().st_size
    # As they are sent, not when all of a file is.
    assert heard.count(1024 * 1024) == 3


def test_manifest_names_every_file(stored):
    target, sha = stored
    manifest = json.loads((target / "manifest.json").read_text())
    assert (manifest["step"], manifest["trainerVersion"]) == (60, "1.2.3")
    assert manifest["files"] == [
        {"path": name, "bytes": (target / name).stat().st_size, "sha256": sha256(target / name)}
        for name in ("a.bin", "b.json")
    ]
    assert sha == sha256(target / "manifest.json")
    verify(target.as_uri())


def change_a_byte(target):
    content = bytearray((target / "a.bin").read_bytes())
    content[100] ^= 1
    (target / "a.bin").write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (change_a_byte, "a.bin reads back with other content"),
        (lambda target: (target / "b.json").write_bytes(b"{} "), "b.json reads back with other content"),
        (lambda target: (target / "a.bin").unlink(), "cannot be read back: .*a.bin"),
        (lambda target: (target / "manifest.json").unlink(), "cannot be read back: .*manifest.json"),
        (lambda target: (target / "manifest.json").write_text('{"files": [{'), "manifest.json is no manifest"),
        (lambda target: (target / "manifest.json").write_text("{}"), "manifest.json is no manifest"),
    ],
    ids=["changed byte", "longer file", "missing file", "missing manifest", "half a manifest", "empty manifest"],
)
def test_harm_is_noticed(stored, harm, sentence):
    target, _ = stored
    harm(target)
    with pytest.raises(TrainingError, match=sentence) as caught:
        verify(target.as_uri())
    assert caught.value.code == ExitCode.ARTIFACTS


def test_storing_again_replaces_files_of_before(tmp_path):
    write_file(tmp_path / "source" / "a", b"new")
    write_file(tmp_path / "target" / "a", b"old")
    store_verified(tmp_path / "source", (tmp_path / "target").as_uri(), 1, "1")
    assert (tmp_path / "target" / "a").read_bytes() == b"new"
