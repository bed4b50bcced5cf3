"""The saved model: atomic writing, checksums, exact bytes, damaged and hostile files."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

import ostinato.bundle
from ostinato.bundle import (
    TensorFile,
    find_bundle,
    read_bundle,
    tensor_writer,
    verify_folder,
    write_bundle,
    write_folder,
)
from ostinato.errors import BundleError
from ostinato.text import build

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1, 2], np.uint16),
    "none": np.zeros((0, 3)),
}


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "m"
    config = {"kind": "recurrent", "text": {"names": ["歌"]}}
    write_bundle(path, config=config, tokenizer=build("character", ["歌声歌声"]), tensors=TENSORS, card="# 卡\n")
    return path


def test_reads_back_what_was_written(bundle):
    read = read_bundle(bundle)
    assert read.kind == "recurrent"
    assert read.config["text"] == {"names": ["歌"]}
    assert read.card == "# 卡\n"
    assert read.tokenizer.decode(read.tokenizer.encode("歌x")) == "歌x"
    assert read.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert read.tensors[name].dtype == value.dtype
        assert np.array_equal(read.tensors[name], value)
        assert not read.tensors[name].flags.writeable or value.size == 0


def test_the_format_is_what_it_says(bundle):
    assert sorted(f.name for f in bundle.iterdir()) == [
        "card.md", "config.json", "manifest.json", "model.safetensors", "tokenizer.json"
    ]  # fmt: skip
    assert json.loads((bundle / "config.json").read_bytes())["format"] == 1
    import hashlib

    files = json.loads((bundle / "manifest.json").read_bytes())["files"]
    for name, entry in files.items():
        content = (bundle / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert np.array_equal(load_file(bundle / "model.safetensors")["a"], TENSORS["a"])


def test_a_run_folder_leads_to_its_model(bundle, tmp_path):
    bundle.rename(tmp_path / "model")
    assert find_bundle(tmp_path) == tmp_path / "model"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "card.md"])
def test_one_flipped_bit_is_found(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 4
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} does not match its checksum"):
        read_bundle(bundle)


def test_missing_files_and_folders_are_named(bundle, tmp_path):
    (bundle / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json is missing"):
        read_bundle(bundle)
    with pytest.raises(BundleError, match="the folder does not exist; train one with"):
        read_bundle(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"it holds no config\.json"):
        read_bundle(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b'{"format": 2, "kind": "recurrent"}', "has format 2, this version reads 1"),
        ("config.json", b'{"format": 1}', "does not say what kind"),
        ("config.json", b"[1, 2]", "does not hold a JSON object"),
        ("config.json", b"{\xff", "cannot be read"),
        ("config.json", b"[" * 100_000, "cannot be read"),
        ("tokenizer.json", b'{"kind": "sonnet"}', "tokenizer"),
        ("model.safetensors", b"", "not a readable safetensors file"),
    ],
)
def test_hostile_files_with_right_checksums(bundle, name, content, message):
    files = {f.name: f.read_bytes() for f in bundle.iterdir() if f.name != "manifest.json"} | {name: content}
    write_folder(bundle, files)
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle)


@pytest.mark.parametrize("manifest", [b"{}", b'{"files": {"../x": {}}}', b'{"files": {"card.md": 3}}'])
def test_a_hostile_manifest(bundle, manifest):
    (bundle / "manifest.json").write_bytes(manifest)
    with pytest.raises(BundleError, match="damaged"):
        verify_folder(bundle)


@given(st.binary(max_size=300))
def test_any_bytes_as_a_tensor_file_give_an_error_or_arrays(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("t") / "x"
    path.write_bytes(content)
    try:
        tensors = TensorFile(path)
    except BundleError:
        return
    assert all(isinstance(tensors[name], np.ndarray) for name in tensors)


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_byte_of_a_tensor_file_is_harmless(tmp_path_factory, at, value):
    content = bytearray(save(TENSORS))
    content[at % len(content)] = value
    path = tmp_path_factory.mktemp("t") / "x"
    path.write_bytes(content)
    try:
        tensors = TensorFile(path)
        assert all(tensors[name].size < 1000 for name in tensors)
    except BundleError:
        pass


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}',
        '{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}',
        '{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}}',
        '{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
        '{"a":[]}',
        "[]",
        '"x"',
        "3",
    ],
)
def test_hostile_tensor_headers(tmp_path, header):
    path = tmp_path / "x"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(16))
    with pytest.raises(BundleError, match="not a readable safetensors file"):
        TensorFile(path)


def test_an_open_file_of_tensors_stays_itself_when_it_is_replaced(tmp_path):
    save_to = tensor_writer({"a": np.arange(4, dtype=np.float32)})
    write_folder(tmp_path / "m", {"t": save_to})
    tensors = TensorFile(tmp_path / "m" / "t")
    write_folder(tmp_path / "m", {"t": tensor_writer({"b": np.zeros(9), "a": np.ones(4, np.float32)})})
    assert tensors["a"].tolist() == [0, 1, 2, 3]


def test_a_model_in_the_working_folder(bundle, monkeypatch):
    monkeypatch.chdir(bundle)
    assert read_bundle(Path()).kind == "recurrent"


def test_a_file_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(BundleError, match="it is a file; name a folder"):
        write_folder(tmp_path / "f", {"a": b""})
    assert (tmp_path / "f").read_text() == "mine"


def test_tensors_are_written_as_the_library_writes_them(tmp_path):
    """Byte for byte: every type, names and shapes of all kinds, arrays that are mapped or lie in another order."""
    tensors = {f"{kind} \"é\" {n}": np.arange(6 * n).astype(kind).reshape(2, 3, n).swapaxes(0, n % 2)
               for kind in (*(f"{letter}{size}" for letter in "iuf" for size in (8, 4, 2)), "i1", "u1", "?")
               for n in (0, 1, 2)}  # fmt: skip
    tensors["mapped"] = np.memmap(tmp_path / "mapped", np.float32, "w+", shape=(5, 7))
    tensors["mapped"][:] = 0.5
    tensors["scalar"] = np.array(3.0)
    for arrays in (tensors, {}):
        tensor_writer(arrays)(tmp_path / "ours")
        assert (tmp_path / "ours").read_bytes() == save({n: np.ascontiguousarray(t) for n, t in arrays.items()})


def test_a_full_disk_leaves_the_old_model(bundle, monkeypatch, tmp_path):
    def full(path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BundleError, match="No space left on device; what was there before is untouched"):
        write_folder(bundle, {"model.safetensors": full})
    assert read_bundle(bundle).kind == "recurrent"
    assert sorted(p.name for p in bundle.parent.iterdir()) == ["m"]

    monkeypatch.setattr("ostinato.bundle.tensors.unload", lambda array: full(tmp_path / "other"))
    with pytest.raises(BundleError, match="No space left"):
        write_folder(bundle, {"model.safetensors": tensor_writer(TENSORS)})


def test_a_crash_between_the_two_renames_is_mended(bundle, monkeypatch):
    monkeypatch.setattr(ostinato.bundle.folder, "exchange", lambda first, second: False)
    renames = []

    def rename_once(source, target):
        if renames:
            raise OSError(errno.EIO, "power cut")
        renames.append(source)
        os.replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(ostinato.bundle.folder.os, "rename", rename_once)
        with pytest.raises(BundleError, match="power cut"):
            write_folder(bundle, {"card.md": b"new"})
    assert not bundle.exists()
    assert read_bundle(bundle).card == "# 卡\n"
    write_folder(bundle, {"card.md": b"new"})
    assert (bundle / "card.md").read_bytes() == b"new"
    assert sorted(p.name for p in bundle.parent.iterdir()) == ["m"]


def test_a_kill_at_any_file_operation_leaves_the_old_or_the_new(tmp_path):
    """Saves in processes that die at their n-th file operation, for every n; looks at what each has left."""
    program = textwrap.dedent(
        """
        import itertools, os, sys
        from pathlib import Path
        from ostinato.bundle import verify_folder, write_folder

        path = Path(sys.argv[1])

        def dying(call):
            def wrapper(*args, **kwargs):
                global left
                left -= 1
                if left == 0:
                    os._exit(9)
                return call(*args, **kwargs)
            return wrapper

        for n in itertools.count(1):
            write_folder(path, {"a": b"old", "b": b"old"})
            child = os.fork()
            if child == 0:
                left = n
                os.fsync, os.rename, os.open = dying(os.fsync), dying(os.rename), dying(os.open)
                write_folder(path, {"a": b"new", "b": b"new"})
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            verify_folder(path)
            print(code, (path / "a").read_text(), (path / "b").read_text())
            if code == 0:
                break
        """
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "m"], capture_output=True, check=True, text=True)
    left = done.stdout.splitlines()
    assert len(left) > 8
    assert set(left[:-1]) == {"9 old old", "9 new new"}
    assert left[-1] == "0 new new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_to_write(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match="Permission denied"):
        write_folder(tmp_path / "m", {"a": b""})
