"""Data that cannot be had, is not what it should be, or would do harm: one line each, nothing lost."""
import hashlib
import http.server
import io
import pickle
import subprocess
import sys
import tarfile
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from papers_nb.core import files, images
from papers_nb.errors import UserError

RNG = np.random.default_rng(0)


class Python2Pickler(pickle._Pickler):
    """Writes strings of bytes as Python 2 did, as the official files hold them."""
    def save_string(self, text):
        self.write(pickle.BINSTRING + len(text).to_bytes(4, "little") + text)
        self.memoize(text)
    dispatch = {**pickle._Pickler.dispatch, bytes: save_string}  # noqa: RUF012


def batch(n, seed):
    """A CIFAR batch of random images as the official pickles hold it."""
    rng = np.random.default_rng(seed)
    content = {b"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), b"labels": rng.integers(0, 10, n).tolist()}
    Python2Pickler(out := io.BytesIO(), protocol=2).dump(content)
    return out.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def archive(files):
    """Bytes of a .tar.gz."""
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w:gz") as t:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return out.getvalue()


GOOD = {"c/train": batch(20, 1), "c/test": batch(5, 2)}


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A server with a tiny set in the official format, and a function that puts another archive or card there."""
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "www"
    folder.mkdir()
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *a: served.append(a[3]), "__init__": lambda s, *a, **k: http.server.SimpleHTTPRequestHandler.__init__(s, *a, directory=str(folder), **k)})
    served, server = [], http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def put(content, md5=None, url=None):
        (folder / "tiny.tar.gz").write_bytes(content)
        batches = {s: pickle.loads(GOOD[f"c/{s}"], encoding="bytes") for s in ("train", "test")}  # noqa: S301 - our own bytes
        sums = {s: images.content(b[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(b[b"labels"], dtype=np.uint8))[1] for s, b in batches.items()}
        monkeypatch.setitem(images.CARDS, "tiny", images.Card("Tiny CIFAR", (32, 32, 3), 10, (.5,) * 3, (.2,) * 3, sums, {"train": 20, "test": 5}, "none", "us",
            url or f"http://127.0.0.1:{server.server_port}/tiny.tar.gz", md5 or hashlib.md5(content).hexdigest(), len(content), parts={"train": ["c/train"], "test": ["c/test"]}))
        return served
    yield put
    server.shutdown()


def cached():
    """Names in the cache, locks left out."""
    return sorted(p.name for p in files.cache().glob("*") if p.suffix != ".lock")


def test_the_official_route_gives_verified_arrays_in_one_order(cifar):
    cifar(archive(GOOD))
    x, y = images.load("tiny", "train")
    assert x.shape == (20, 32, 32, 3) and x.dtype == np.uint8 and y.shape == (20,)
    with np.load(images.npz("tiny", "train")) as stored:
        swapped = {k: v[::-1] for k, v in stored.items()}
    np.savez(images.npz("tiny", "train"), **swapped)
    again = images.load("tiny", "train")
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1])


def test_ninety_first_runs_make_one_download(cifar):
    served = cifar(archive(GOOD))
    threads = [threading.Thread(target=images.fetch, args=("tiny",)) for _ in range(9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(served) == 1 and len(images.fetch("tiny")) == 2


def refusal(*words):
    """The fetch is refused in one line with these words, and no array is left in the cache."""
    with pytest.raises(UserError) as e:
        images.load("tiny", "train")
    assert all(w in str(e.value) for w in words) and "\n" not in str(e.value), str(e.value)
    assert not any(n.endswith(".npz") for n in cached())


def test_offline_names_file_address_checksum_and_folder(cifar):
    cifar(archive(GOOD), url="http://127.0.0.1:9/tiny.tar.gz")
    refusal("cannot download Tiny CIFAR", "put tiny.tar.gz (md5 ", "from http://127.0.0.1:9/tiny.tar.gz", str(files.cache()))


def test_a_wrong_checksum_leaves_no_file(cifar):
    cifar(archive(GOOD), md5="0" * 32)
    refusal("wrong checksum")
    assert cached() == []


def test_a_wrong_file_put_by_hand_is_refused(cifar):
    cifar(archive(GOOD))
    files.cache().mkdir()
    (files.cache() / "tiny.tar.gz").write_bytes(b"something else")
    refusal("tiny.tar.gz has the wrong checksum", "delete it")


@pytest.mark.parametrize("content,words", [
    (archive(GOOD)[:-500], ("is not a whole archive", "delete it and fetch it again")),
    (archive({**GOOD, "../x": b"1"}), ("archive member '../x' leaves the archive",)),
    (archive({**GOOD, "/x": b"1"}), ("archive member '/x' leaves the archive",)),
    (archive({**GOOD, "c/train": pickle.dumps(print)}), ("the pickle asks for builtins.print",)),
    (archive({**GOOD, "c/train": GOOD["c/train"][:1000]}), ("not a whole pickle of arrays",)),
    (archive({"c/train": GOOD["c/train"]}), ("holds no c/test",)),
    (archive({**GOOD, "c/train": batch(20, 3)}), ("does not hold Tiny CIFAR train",))])
def test_a_bad_archive_is_refused(cifar, content, words):
    cifar(content)
    with pytest.raises(UserError) as e:
        images.load("tiny", "train")
    assert all(w in str(e.value) for w in words) and "\n" not in str(e.value), str(e.value)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(archive({"zeros": bytes(10**6)}))
    with pytest.raises(UserError, match="1000000 bytes, more than the 1000 allowed"):
        files.members(tmp_path / "a.tar.gz", limit=1000)


def test_a_link_in_an_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as t:
        info = tarfile.TarInfo("passwd")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        t.addfile(info)
    with pytest.raises(UserError, match="is a link or a device"):
        files.members(tmp_path / "a.tar")


def test_a_damaged_cache_says_what_to_delete(cifar):
    cifar(archive(GOOD))
    images.fetch("tiny")
    file = images.npz("tiny", "train")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"tiny_train.npz cannot be read .*delete it"):
        images.load("tiny", "train")


def test_cards_are_readable_without_torch():
    done = subprocess.run([sys.executable, "-c", "import sys; from papers_nb.core import images; images.checksum('cifar10'); print('torch' in sys.modules)"], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@given(st.integers(1, 12), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_content_does_not_depend_on_the_order(n, seed):
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(0, 3, (n, 1, 2, 1), dtype=np.uint8), rng.integers(0, 2, n, dtype=np.uint8), rng.permutation(n)
    (a, s), (b, t) = images.content(x, y), images.content(x[p], y[p])
    assert s == t and np.array_equal(x[a], x[p][b]) and np.array_equal(y[a], y[p][b])


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6), st.integers(0, 3), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_crop_flip_equals_one_image_at_a_time(n, c, side, pad, flip, seed):
    x = torch.randint(1, 255, (n, c, side, side), dtype=torch.uint8)
    out = images.crop_flip(x, pad, torch.Generator().manual_seed(seed), flip)
    padded = torch.nn.functional.pad(x, (pad,) * 4)
    for image, big in zip(out, padded):
        views = [v for i in range(2 * pad + 1) for j in range(2 * pad + 1) for w in [big[:, i:i + side, j:j + side]] for v in ([w, w.flip(2)] if flip else [w])]
        assert any(torch.equal(image, v) for v in views)


# ---- a set that the user supplies ----

def supply(root, dtype=np.uint8, flip=False, n=6):
    """A tiny Mini-ImageNet in its own format."""
    folder = root / "miniimagenet"
    folder.mkdir(exist_ok=True)
    for split, size in (("train", n), ("test", 2)):
        rng = np.random.default_rng(size)
        x, y = rng.integers(0, 256, (size, 84, 84, 3), dtype=np.uint8), rng.integers(0, 100, size)
        order = slice(None, None, -1) if flip else slice(None)
        np.save(folder / f"{split}_x.npy", (x if dtype == np.uint8 else (x / 255).astype(dtype))[order])
        np.save(folder / f"{split}_y.npy", y[order])
    return folder


def npy_header(shape):
    """An .npy file of bytes with any shape in its header, and no content."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_a_supplied_set_is_the_same_in_any_order_and_as_bytes_or_floats(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    seen = set()
    for dtype, flip in ((np.uint8, False), (np.float32, False), (np.float64, True)):
        supply(tmp_path, dtype, flip)
        x, y = images.load("miniimagenet", "train")
        assert x.dtype == y.dtype == np.uint8 and x.shape == (6, 84, 84, 3)
        seen.add((x.tobytes(), y.tobytes(), images.checksum("miniimagenet")))
    assert len(seen) == 1
    supply(tmp_path, n=7)
    assert images.checksum("miniimagenet") not in {s[2] for s in seen}, "other content, same checksum"
    assert [f.name for f in images.fetch("miniimagenet")] == ["train_x.npy", "train_y.npy", "test_x.npy", "test_y.npy"]


@pytest.mark.parametrize("break_it,words", [
    (lambda f: (f / "test_y.npy").unlink(), "missing: test_y.npy"),
    (lambda f: np.save(f / "train_x.npy", np.zeros((6, 32, 32, 3), np.uint8)), r"shape \(6, 32, 32, 3\); images of shape \(N, 84, 84, 3\)"),
    (lambda f: np.save(f / "train_x.npy", np.zeros((0, 84, 84, 3), np.uint8)), r"shape \(0, 84, 84, 3\)"),
    (lambda f: np.save(f / "train_x.npy", np.full((6, 84, 84, 3), 3.)), "from 3.0 to 3.0; bytes, or numbers from 0 to 1"),
    (lambda f: np.save(f / "train_x.npy", np.full((6, 84, 84, 3), np.nan)), "numbers from 0 to 1"),
    (lambda f: np.save(f / "train_x.npy", np.zeros((6, 84, 84, 3), np.int64)), "int64"),
    (lambda f: np.save(f / "train_x.npy", np.array([None] * 6), allow_pickle=True), "not a whole .npy file"),
    (lambda f: (f / "train_x.npy").write_bytes((f / "train_x.npy").read_bytes()[:5000]), "not a whole .npy file"),
    (lambda f: np.save(f / "train_y.npy", np.zeros(5, int)), "one label for each of 6"),
    (lambda f: np.save(f / "train_y.npy", np.full(6, 100)), "from 100 to 100; whole numbers from 0 to 99"),
    (lambda f: np.save(f / "train_y.npy", np.zeros(6)), "float64"),
    (lambda f: np.save(f / "train_y.npy", np.full(6, "a")), "train_y.npy holds <U1; whole numbers"),
    (lambda f: np.save(f / "train_x.npy", np.zeros((6, 84, 84, 3), [("r", "u1")])), "train_x.npy holds .*'r'.*; bytes, or numbers from 0 to 1"),
    (lambda f: (f / "train_x.npy").write_bytes(pickle.dumps(print)), "train_x.npy is not a whole .npy file"),
    (lambda f: (f / "train_x.npy").write_bytes(npy_header("(6, 84, 84, 3)" + " " * 20000)), "train_x.npy is not a whole .npy file"),
    (lambda f: (f / "train_x.npy").write_bytes(npy_header("(-1, 84, 84, 3)")), "train_x.npy is not a whole .npy file"),
    (lambda f: (f / "train_x.npy").write_bytes(npy_header("'''")), "train_x.npy is not a whole .npy file"),
    (lambda f: np.savez(f / "z.npz", x=1) or (f / "z.npz").rename(f / "train_x.npy"), "train_x.npy is not a whole .npy file")])
def test_a_malformed_supplied_set_is_refused(tmp_path, monkeypatch, break_it, words):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    break_it(supply(tmp_path))
    for call in (lambda: images.load("miniimagenet", "train"), lambda: images.checksum("miniimagenet")):
        with pytest.raises(UserError, match=words) as e:
            call()
        assert "\n" not in str(e.value)


def test_a_supplied_set_cuts_into_tasks(tmp_path, monkeypatch):
    from papers_nb.adab2n.data import inputs, split
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    supply(tmp_path)
    tasks = split("miniimagenet", 20, seed=1)
    assert tasks.per_task == 5 and tasks.x.shape == (6, 3, 84, 84)
    assert inputs(tasks.x, "miniimagenet", torch.Generator().manual_seed(0)).shape == (6, 3, 84, 84)
