"""Image sets: verified arrays in one order from whatever brought them, and what is refused."""

import hashlib
import io
import pickle
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Served, archive

from papers_nb.core import files, images
from papers_nb.errors import UserError


class Python2Pickler(pickle._Pickler):
    """Writes strings of bytes as Python 2 did, as the official files hold them."""

    def save_string(self, text):
        self.write(pickle.BINSTRING + len(text).to_bytes(4, "little") + text)
        self.memoize(text)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_string}  # noqa: RUF012


def batch(n, seed, **more):
    """A CIFAR batch of random images as the official pickles hold it."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n).tolist()
    content = {b"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), b"labels": labels}
    if more:
        content = {
            b"data": content[b"data"],
            b"fine_labels": labels,
            b"coarse_labels": [k // 5 for k in labels],
        }
    Python2Pickler(out := io.BytesIO(), protocol=2).dump(content)
    return out.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


GOOD = {"c/train": batch(20, 1), "c/test": batch(5, 2)}


def sum_of(data):
    """The checksum of a batch, by hand."""
    content = pickle.loads(data, encoding="bytes")  # noqa: S301 - our own bytes
    x = content[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    y = content.get(b"labels", content.get(b"fine_labels"))
    return images.content(x, np.array(y, dtype=np.uint8))[1]


def tiny(content, url, md5=None):
    """A tiny set in the official format."""
    parts = {"train": ["c/train"], "test": ["c/test"]}
    fetch = lambda: images.cifar("tiny", "Tiny CIFAR", url, md5 or hashlib.md5(content).hexdigest(), parts)
    sums = {split: sum_of(GOOD[f"c/{split}"]) for split in ("train", "test")}
    card = files.Card(
        title="Tiny CIFAR", obtain="is served here", licence="none", cite="us", size="25 images"
    )
    facts = {"shape": (32, 32, 3), "classes": 10, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    return images.Images(**facts, read=images.stored, sums=sums, fetch=fetch, card=card)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A server with a tiny set, and a function that puts another archive there or says another checksum."""
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path / "cache"))
    served = Served()

    def put(content, md5=None):
        served.files["tiny.tar.gz"] = content
        monkeypatch.setitem(images.SETS, "tiny", tiny(content, f"{served.url}/tiny.tar.gz", md5))
        return served.asked

    yield put
    served.close()


def test_the_official_route_gives_verified_arrays_in_one_order(cifar):
    cifar(archive(GOOD))
    x, y = images.load("tiny", "train")
    assert x.shape == (20, 32, 32, 3) and x.dtype == np.uint8 and y.shape == (20,)
    file = files.cache() / "tiny_train.npz"
    swapped = {k: v[::-1] for k, v in files.npz(file).items()}
    np.savez(file, **swapped)
    again = images.load("tiny", "train")
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1])


def test_groups_of_classes_are_kept_where_an_archive_has_them(cifar):
    cifar(archive({"c/train": batch(20, 1, coarse=True), "c/test": batch(5, 2, coarse=True)}))
    fine, coarse = images.load("tiny", "train")[1], images.load("tiny", "train", "y_coarse")[1]
    assert np.array_equal(fine // 5, coarse)


def test_labels_that_a_set_lacks_are_named(cifar):
    cifar(archive(GOOD))
    with pytest.raises(UserError, match="Tiny CIFAR has no labels 'y_coarse'; there are y"):
        images.load("tiny", "train", "y_coarse")


def test_ninety_first_runs_make_one_download(cifar):
    asked = cifar(archive(GOOD))
    threads = [threading.Thread(target=images.SETS["tiny"].fetch) for _ in range(9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert asked == ["tiny.tar.gz"] and len(images.SETS["tiny"].fetch()) == 2


@pytest.mark.parametrize("content,words", [
    (archive(GOOD)[:-500], ("is not a whole archive", "delete it and fetch it again")),
    (archive({**GOOD, "../x": b"1"}), ("archive member '../x' leaves the archive",)),
    (archive({**GOOD, "/x": b"1"}), ("archive member '/x' leaves the archive",)),
    (archive({**GOOD, "c/train": pickle.dumps(print)}), ("the pickle asks for builtins.print",)),
    (archive({**GOOD, "c/train": GOOD["c/train"][:1000]}), ("not a whole pickle of arrays",)),
    (archive({"c/train": GOOD["c/train"]}), ("holds no c/test",)),
    (archive({**GOOD, "c/train": batch(20, 3)}), ("_train.npz does not hold Tiny CIFAR train", "delete it")),
])  # fmt: skip
def test_a_bad_archive_is_refused(cifar, content, words):
    cifar(content)
    with pytest.raises(UserError) as e:
        images.load("tiny", "train")
    assert all(w in str(e.value) for w in words) and "\n" not in str(e.value), str(e.value)


def test_a_wrong_checksum_leaves_neither_archive_nor_arrays(cifar):
    cifar(archive(GOOD), md5="0" * 32)
    with pytest.raises(UserError, match="wrong checksum"):
        images.load("tiny", "train")
    assert [p.name for p in files.cache().glob("*") if p.suffix != ".lock"] == []


@pytest.mark.parametrize("spoil,words", [
    (lambda f: f.write_bytes(f.read_bytes()[:100]), r"tiny_train.npz cannot be read .*delete it"),
    (lambda f: np.savez(f, x=np.zeros((2, 8, 8, 3), np.uint8), y=np.zeros(2)), r"x of shape \(32, 32, 3\)"),
    (lambda f: np.savez(f, x=np.zeros((2, 32, 32, 3), np.uint8)), "and labels y; delete it"),
    (lambda f: np.savez(f, x=np.array([print]), y=np.zeros(1)), "cannot be read .*delete it"),
])  # fmt: skip
def test_a_damaged_cache_says_what_to_delete(cifar, spoil, words):
    cifar(archive(GOOD))
    images.SETS["tiny"].fetch()
    spoil(files.cache() / "tiny_train.npz")
    with pytest.raises(UserError, match=words) as e:
        images.load("tiny", "train")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "name,known",
    [("cifar10", "ec81730e02f80976"), ("cifar100", "f4acfcd7048a5c92"), ("digits", "548731027ee043dc")],
)
def test_the_checksum_of_a_public_set_needs_no_download(tmp_path, monkeypatch, name, known):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    assert images.SETS[name].checksum() == known and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_what_lies_in_the_cache_of_a_public_set_is_read_and_verified(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    known = images.SETS[name]
    x, y = np.zeros((3, *known.shape), np.uint8), np.arange(3, dtype=np.uint8)
    for split in images.SPLITS:
        np.savez(tmp_path / f"{name}_{split}.npz", x=x, y=y)
    assert known.arrays("test").keys() == {"x", "y"}
    with pytest.raises(UserError, match=f"{name}_test.npz does not hold {known.card.title} test"):
        images.load(name, "test")
    monkeypatch.setattr(images, "content", lambda x, y: (np.arange(3)[::-1], known.sums["test"]))
    assert images.load(name, "test")[1].tolist() == [2, 1, 0]


def test_papers_use_the_sets_that_all_share():
    from papers_nb.adab2n import data

    assert data.SETS is images.SETS


@given(st.integers(1, 12), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_content_does_not_depend_on_the_order(n, seed):
    rng = np.random.default_rng(seed)
    x, y, p = (
        rng.integers(0, 3, (n, 1, 2, 1), dtype=np.uint8),
        rng.integers(0, 2, n, dtype=np.uint8),
        rng.permutation(n),
    )
    (a, s), (b, t) = images.content(x, y), images.content(x[p], y[p])
    assert s == t and np.array_equal(x[a], x[p][b]) and np.array_equal(y[a], y[p][b])


@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(max_examples=50, deadline=None)
def test_crop_flip_equals_one_image_at_a_time(n, c, side, pad, flip, seed):
    x = torch.randint(1, 255, (n, c, side, side), dtype=torch.uint8)
    out = images.crop_flip(x, pad, torch.Generator().manual_seed(seed), flip)
    padded = torch.nn.functional.pad(x, (pad,) * 4)
    for image, big in zip(out, padded):
        views = [
            v
            for i in range(2 * pad + 1)
            for j in range(2 * pad + 1)
            for w in [big[:, i : i + side, j : j + side]]
            for v in ([w, w.flip(2)] if flip else [w])
        ]
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
        seen.add((x.tobytes(), y.tobytes(), images.SETS["miniimagenet"].checksum()))
    assert len(seen) == 1
    supply(tmp_path, n=7)
    assert images.SETS["miniimagenet"].checksum() not in {s[2] for s in seen}, "other content, same checksum"
    assert [f.name for f in images.SETS["miniimagenet"].fetch()] == [
        "train_x.npy",
        "train_y.npy",
        "test_x.npy",
        "test_y.npy",
    ]


@pytest.mark.parametrize(
    "break_it,words",
    [
        (lambda f: (f / "test_y.npy").unlink(), "missing: test_y.npy"),
        (
            lambda f: np.save(f / "train_x.npy", np.zeros((6, 32, 32, 3), np.uint8)),
            r"shape \(6, 32, 32, 3\); images of shape \(N, 84, 84, 3\)",
        ),
        (lambda f: np.save(f / "train_x.npy", np.zeros((0, 84, 84, 3), np.uint8)), r"shape \(0, 84, 84, 3\)"),
        (
            lambda f: np.save(f / "train_x.npy", np.full((6, 84, 84, 3), 3.0)),
            "from 3.0 to 3.0; bytes, or numbers from 0 to 1",
        ),
        (lambda f: np.save(f / "train_x.npy", np.full((6, 84, 84, 3), np.nan)), "numbers from 0 to 1"),
        (lambda f: np.save(f / "train_x.npy", np.zeros((6, 84, 84, 3), np.int64)), "int64"),
        (
            lambda f: np.save(f / "train_x.npy", np.array([None] * 6), allow_pickle=True),
            "not a whole .npy file",
        ),
        (
            lambda f: (f / "train_x.npy").write_bytes((f / "train_x.npy").read_bytes()[:5000]),
            "not a whole .npy file",
        ),
        (lambda f: np.save(f / "train_y.npy", np.zeros(5, int)), "one label for each of 6"),
        (
            lambda f: np.save(f / "train_y.npy", np.full(6, 100)),
            "from 100 to 100; whole numbers from 0 to 99",
        ),
        (lambda f: np.save(f / "train_y.npy", np.zeros(6)), "float64"),
        (lambda f: np.save(f / "train_y.npy", np.full(6, "a")), "train_y.npy holds <U1; whole numbers"),
        (
            lambda f: np.save(f / "train_x.npy", np.zeros((6, 84, 84, 3), [("r", "u1")])),
            "train_x.npy holds .*'r'.*; bytes, or numbers from 0 to 1",
        ),
        (
            lambda f: (f / "train_x.npy").write_bytes(pickle.dumps(print)),
            "train_x.npy is not a whole .npy file",
        ),
        (
            lambda f: (f / "train_x.npy").write_bytes(npy_header("(6, 84, 84, 3)" + " " * 20000)),
            "train_x.npy is not a whole .npy file",
        ),
        (
            lambda f: (f / "train_x.npy").write_bytes(npy_header("(-1, 84, 84, 3)")),
            "train_x.npy is not a whole .npy file",
        ),
        (
            lambda f: (f / "train_x.npy").write_bytes(npy_header("'''")),
            "train_x.npy is not a whole .npy file",
        ),
        (
            lambda f: np.savez(f / "z.npz", x=1) or (f / "z.npz").rename(f / "train_x.npy"),
            "train_x.npy is not a whole .npy file",
        ),
    ],
)
def test_a_malformed_supplied_set_is_refused(tmp_path, monkeypatch, break_it, words):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    break_it(supply(tmp_path))
    for call in (
        lambda: images.load("miniimagenet", "train"),
        lambda: images.SETS["miniimagenet"].checksum(),
    ):
        with pytest.raises(UserError, match=words) as e:
            call()
        assert "\n" not in str(e.value)


def test_the_checksum_of_a_supplied_set_is_what_records_would_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    supply(tmp_path)
    assert images.SETS["miniimagenet"].checksum() == "da6044dfbd72add6"
