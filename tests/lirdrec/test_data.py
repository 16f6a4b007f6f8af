"""Interactions: split and core, what is read from files of others and of the user, and what is refused."""

import hashlib
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from papers_nb.core.files import find
from papers_nb.errors import UserError
from papers_nb.lirdrec import data
from papers_nb.lirdrec.baselines import BM3, FREEDOM, VBPR, FreeRows, SumRows
from papers_nb.lirdrec.data import (
    SETS,
    TEST,
    TRAIN,
    VALID,
    Interactions,
    cold_items,
    k_core,
    load,
    read_interactions,
    split_per_user,
    strict_cold,
    synthetic,
)
from papers_nb.lirdrec.lirdrec import LIRDRecNet

SHOP = synthetic(seed=1, users=200, items=120)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_the_split_follows_the_rule_for_every_user(seed):
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(20), rng.integers(5, 40, 20))
    user = rng.permutation(user)
    part = split_per_user(user, rng)
    for u in range(20):
        n, found = (user == u).sum(), np.bincount(part[user == u], minlength=3)
        aside = 2 if n < 10 else int(0.2 * n)
        assert found.tolist() == [n - aside, aside // 2, aside - aside // 2]


def test_the_core_is_what_repeated_dropping_leaves():
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 60, 500), rng.integers(0, 60, 500)
    rows = set(range(500))
    while True:
        bad = {
            r
            for r in rows
            if sum(user[s] == user[r] for s in rows) < 8 or sum(item[s] == item[r] for s in rows) < 8
        }
        if not bad:
            break
        rows -= bad
    assert set(np.flatnonzero(k_core(user, item, 8))) == rows


def test_a_made_up_set_is_the_same_every_time_and_like_a_shop():
    a, b = synthetic(3), synthetic(3)
    assert (
        a.content == b.content
        and a.content != synthetic(4).content
        and all(np.array_equal(a.features[m], b.features[m]) for m in a.features)
    )
    assert 11_000 < len(a.user) < 13_500 and np.bincount(a.user).min() >= 5 and np.bincount(a.item).min() >= 5
    assert len(set(zip(a.user, a.item))) == len(a.user)


@pytest.mark.parametrize(
    "kw,words",
    [
        ({"features": {"text": np.ones((2, 3))}}, "2 rows for 3 items|item ids from 0 to 2: 0 to 1"),
        ({"features": {"text": np.full((3, 2), np.inf)}}, "6 numbers that are not finite"),
        ({"features": {"text": np.array([["a"], ["b"], ["c"]])}}, "numbers, one row an item"),
        ({"item": [0, 1, -2, 0]}, "item ids from -2"),
        ({"part": [0, 0, 1, 3]}, "part ids from 0 to 3"),
        ({"item": [0, 0, 2, 0]}, "1 pairs of user and item occur more than once"),
        ({"features": {"shared": np.ones((3, 2))}}, "a mapping from names"),
        ({"features": [1]}, "a mapping from names"),
        ({"features": {"a": np.full((3, 2), 1e300)}}, "not finite in 32 bits"),
        ({"part": [0, 0, 1, 1]}, "1 of 2 users have no training item"),
        ({"user": [0.0, 0, 1, 1]}, "a row of whole numbers"),
        ({"user": [0, 0, 1]}, "3 users, 4 items, 4 parts"),
        ({"items": 2}, "0 to 1 are expected"),
    ],
)
def test_interactions_that_do_not_fit_are_refused(kw, words):
    with pytest.raises(UserError, match=words):
        Interactions(**{"name": "x", "user": [0, 0, 1, 1], "item": [0, 1, 2, 0], "part": [0, 1, 0, 2], **kw})


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_whoever_counts_as_cold_has_no_pair_before_the_test(seed):
    rng = np.random.default_rng(seed)
    pairs = np.unique(rng.integers(0, (6, 7), (25, 2)), axis=0)
    part = rng.integers(0, 3, len(pairs))
    part[np.unique(pairs[:, 0], return_index=True)[1]] = TRAIN
    shop = Interactions("x", np.unique(pairs[:, 0], return_inverse=True)[1], pairs[:, 1], part, items=7)
    try:
        cold = strict_cold(shop, 0.3, seed)
    except UserError as e:
        assert "leaves no user" in str(e)
        return
    assert set(cold.part[cold_items(cold)[cold.item]]) <= {TEST} and cold_items(cold).sum() >= 2


def write_inter(file, shop=SHOP, header="userID\titemID\trating\ttimestamp\tx_label", end=""):
    """A set in MMRec's format."""
    lines = [f"{u}\t{i}\t5.0\t0\t{p}" for u, i, p in zip(shop.user, shop.item, shop.part)]
    file.write_text("\n".join([header, *lines, *([end] if end else [])]) + "\n")
    return file


def test_a_set_is_the_same_from_every_form(tmp_path):
    pd = pytest.importorskip("pandas")
    np.savez(
        tmp_path / "shop.npz",
        user=SHOP.user.astype("u2"),
        item=SHOP.item.astype("u2"),
        split=SHOP.part.astype("u1"),
    )
    np.save(tmp_path / "text.npy", SHOP.features["text"].astype("f8"))
    forms = [
        SHOP,
        pd.DataFrame({"user": SHOP.user, "item": SHOP.item, "part": SHOP.part}),
        write_inter(tmp_path / "shop.inter"),
        str(tmp_path / "shop.npz"),
    ]
    found = [read_interactions(f, {"text": tmp_path / "text.npy"}) for f in forms]
    assert len({f.content for f in found}) == 1 and all(
        np.allclose(f.features["text"], SHOP.features["text"]) and f.items == SHOP.items for f in found
    )


@pytest.mark.parametrize(
    "make,words",
    [
        (
            lambda d: write_inter(d / "a.inter", header="user\titem\trating\ttimestamp\tx_label"),
            "no column 'userID'",
        ),
        (lambda d: write_inter(d / "a.inter", end="1\t2"), r"line \d+: 5 columns are expected"),
        (lambda d: write_inter(d / "a.inter", end="x\t2\t5\t0\t1"), "whole numbers"),
        (lambda d: write_inter(d / "a.inter", end="1\t2\t5\t0\t7"), "part ids from 0 to 7"),
        (lambda d: d / "none.inter", "does not exist"),
        (lambda d: (d / "a.npz").write_bytes(b"PK nonsense") and d / "a.npz", "not a whole .npz"),
        (
            lambda d: (np.savez(d / "b.npz", user=np.array([None] * 5), item=np.arange(5)), d / "b.npz")[1],
            "not a whole .npz",
        ),
    ],
)
def test_a_malformed_set_is_refused_in_one_line(tmp_path, make, words):
    with pytest.raises(UserError, match=words) as e:
        read_interactions(make(tmp_path))
    assert "\n" not in str(e.value)


def mmrec_folder(cache, name="baby", stem="baby"):
    """A supplied set in MMRec's format, tiny."""
    (cache / name).mkdir()
    write_inter(cache / name / f"{stem}.inter")
    for m, x in SHOP.features.items():
        np.save(cache / name / f"{m}_feat.npy", x.astype("f8" if m == "image" else "f4"))
    return cache / name


@pytest.mark.parametrize("name,stem", [("baby", "baby"), ("electronics", "elec"), ("microlens", "microlens")])
def test_a_supplied_set_is_read_and_what_is_other_than_known_is_said(
    tmp_path, monkeypatch, capsys, name, stem
):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    folder = mmrec_folder(tmp_path, name, stem)
    shop, said = load(name), capsys.readouterr().out
    assert shop.content == SHOP.content and all(
        np.allclose(shop.features[m], x) and shop.features[m].dtype == np.float32
        for m, x in SHOP.features.items()
    )
    assert (
        f"{stem}.inter" in said
        and "other than known" in said
        and "cast to float32" in said
        and "other than known" in SETS[name].checksum()
    )
    before = SETS[name].checksum()
    (folder / "text_feat.npy").rename(folder / "image_feat.npy")
    assert SETS[name].checksum() != before, "the same bytes under another name are another set"
    np.save(folder / "text_feat.npy", SHOP.features["text"] + 1)
    assert SETS[name].checksum() != before
    net = LIRDRecNet(shop, 8, 16)
    assert torch.isfinite(net()[1]).all()


def test_the_known_files_are_not_remarked_upon(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    folder = mmrec_folder(tmp_path)
    known = {f.name: hashlib.sha256(f.read_bytes()).hexdigest()[:8] for f in folder.iterdir()}
    monkeypatch.setattr(data, "KNOWN", {"baby": known})
    assert len(SETS["baby"].checksum()) == 16


def test_interactions_alone_serve_what_needs_no_features(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    (tmp_path / "baby").mkdir()
    np.savez(
        tmp_path / "baby/pairs.npz",
        user=SHOP.user.astype("u2"),
        item=SHOP.item.astype("u2"),
        split=SHOP.part.astype("u1"),
        n_users=SHOP.users,
    )
    shop = load("baby")
    assert shop.content == SHOP.content and not shop.features and "(" not in SETS["baby"].checksum()
    FreeRows(shop, 8)
    for make in (LIRDRecNet, VBPR, FREEDOM, BM3, SumRows):
        with pytest.raises(UserError, match="baby has no features"):
            make(shop)


@pytest.mark.parametrize(
    "spoil,words",
    [
        (lambda f: (f / "baby.inter").unlink(), "has neither baby.inter nor an .npz file"),
        (
            lambda f: np.save(f / "text_feat.npy", SHOP.features["text"][:-1]),
            f"{SHOP.items - 1} rows for {SHOP.items} items|item ids",
        ),
        (lambda f: np.save(f / "image_feat.npy", np.full((SHOP.items, 4), np.nan)), "not finite"),
        (lambda f: (f / "image_feat.npy").write_bytes(b"no numbers"), r"not a whole \.npy"),
        (
            lambda f: np.save(f / "text_feat.npy", np.array([{}] * SHOP.items), allow_pickle=True),
            r"not a whole \.npy",
        ),
        (lambda f: (f / "baby.inter").write_text("userID\titemID\n1\tx\n"), "whole numbers"),
        (lambda f: (f / "baby.inter").write_text(""), "no column 'userID'"),
        (lambda f: np.savez(f / "a.npz", user=[0]), r"has baby\.inter and a\.npz"),
    ],
)
def test_a_malformed_supplied_set_is_refused_in_one_line(tmp_path, monkeypatch, spoil, words):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    spoil(mmrec_folder(tmp_path))
    with pytest.raises(UserError, match=words) as e:
        load("baby")
    assert "\n" not in str(e.value)


def test_a_pickled_feature_file_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}] * SHOP.items), allow_pickle=True)
    with pytest.raises(UserError, match=r"not a whole \.npy"):
        read_interactions(SHOP, {"text": tmp_path / "x.npy"})


def test_features_without_a_name_are_refused():
    with pytest.raises(UserError, match="a mapping from names"):
        read_interactions(SHOP, np.ones((3, 3)))


def movie_archive(folder, users=12, movies=14):
    """A tiny archive in GroupLens' format; every user rated most of the movies."""
    rng = np.random.default_rng(0)
    ratings = [(u + 1, 10 * m + 3) for u in range(users) for m in range(movies) if rng.random() < 0.8]
    with zipfile.ZipFile(folder / "ml-latest-small.zip", "w") as z:
        z.writestr(
            "ml-latest-small/ratings.csv",
            "userId,movieId,rating,timestamp\n" + "".join(f"{u},{m},4.0,1\n" for u, m in ratings),
        )
        z.writestr(
            "ml-latest-small/movies.csv",
            "movieId,title,genres\n"
            + "".join(
                f'{10 * m + 3},"Movie, The {m} ({1950 + 5 * m})",Comedy|Drama\n' for m in range(movies)
            ),
        )
    return ratings


def test_movielens_is_read_from_its_archive_and_verified(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    pairs = np.array(sorted(movie_archive(tmp_path)), dtype="<i4")
    with pytest.raises(UserError, match="GroupLens may have changed"):
        data.movielens(features=False)
    monkeypatch.setattr(
        data, "MOVIELENS_CORE", hashlib.sha256(pairs[:, 0].tobytes() + pairs[:, 1].tobytes()).hexdigest()
    )
    shop = data.movielens(features=False)
    assert sorted(zip((shop.user + 1).tolist(), (shop.item * 10 + 3).tolist())) == sorted(
        map(tuple, pairs.tolist())
    )
    assert shop.content == data.movielens(features=False).content and {VALID, TEST} <= set(shop.part)
    (tmp_path / "ml-latest-small.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"not a whole archive|holds no"):
        data.movielens()


@pytest.mark.parametrize("name,files,known", [
    ("baby", {"image_feat.npy": np.arange(4.0), "text_feat.npy": np.float32(range(4))}, "9bd13bb513c578b1"),
    ("sports", {}, "5ed97dbe41cce571"),
])  # fmt: skip
def test_the_identity_of_supplied_files_is_what_records_would_hold(tmp_path, monkeypatch, name, files, known):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    (tmp_path / name).mkdir()
    lines = "userID\titemID\trating\ttimestamp\tx_label", "0\t0\t5\t0\t0", "0\t1\t5\t0\t2"
    (tmp_path / name / f"{name}.inter").write_text("\n".join(lines) + "\n")
    for file, x in files.items():
        np.save(tmp_path / name / file, x.reshape(2, 2))
    assert find("lirdrec/train", name).checksum().split(" (")[0] == known


def test_only_a_drawn_set_hides_a_taste_and_depends_on_the_seed(monkeypatch):
    assert load("synthetic", 1).content != load("synthetic", 2).content
    assert load("synthetic", 1, 1.0).content != load("synthetic", 1).content
    with pytest.raises(UserError, match="only the made-up set has a hidden taste"):
        load("movielens-small", hidden=1.0)
    with pytest.raises(UserError, match="no data set 'netflix'; there are synthetic, movielens-small, baby"):
        load("netflix")


def test_a_made_up_set_is_that_of_the_records():
    assert SETS["synthetic"].checksum() == "113a860aa4d47745"
