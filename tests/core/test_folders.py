"""Pictures in folders: what is read, what is refused, and that the filter is Lanczos'."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from papers_nb.core import files, images
from papers_nb.core.folders import folders
from papers_nb.errors import UserError

MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.25, 0.0)
GIVEN = {"side": 4, "title": "Tiny", "classes": 2, "mean": MEAN, "std": STD, "licence": "yours"}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tiny set in the format: two classes, a black and an orange picture, of different shape."""
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    for split in ("train", "test"):
        for name, color, size in (("a dark one", (0, 0, 0), (9, 5)), ("orange", (255, 127, 0), (3, 8))):
            folder = tmp_path / "tiny" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", size, color).save(folder / "1.png")
    return tmp_path / "tiny"


def test_pictures_become_squares_with_the_place_of_their_folder_as_label(tree):
    (tree / "train/orange/.DS_Store").write_text("not a picture, and nobody put it there")
    train, test = folders("tiny", **GIVEN)
    found = np.load(train)
    assert found["x"].shape == (2, 4, 4, 3) and found["y"].tolist() == [0, 1]
    assert (found["x"][0] == 0).all() and (found["x"][1] == (255, 127, 0)).all()
    before = train.stat().st_mtime_ns
    (tree / "train/orange/1.png").unlink()  # read once
    assert folders("tiny", **GIVEN)[0].stat().st_mtime_ns == before and test.exists()


def test_a_set_of_folders_loads_by_name_and_has_a_checksum(tree, monkeypatch):
    card = files.Card(title="Tiny", licence="yours", obtain="", size="", cite="")
    monkeypatch.setitem(images.SETS, "tiny4", images._tree("tiny", 4, 2, MEAN, STD, card=card))
    x, y = images.load("tiny4", "test")
    assert x.shape == (2, 4, 4, 3) and sorted(y) == [0, 1]
    assert len(images.SETS["tiny4"].checksum()) == 16


def grey(tree):
    """Make the orange training picture a grey one."""
    Image.new("L", (5, 5), 255).save(tree / "train/orange/1.png")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: (t / "test").rename(t / "tests"), "missing: test$"),
        (lambda t: (t / "train/third").mkdir(), "3 folders: one for each of 2 classes"),
        (lambda t: (t / "test/third").mkdir(), "a class 'third' that train has not"),
        (lambda t: [p.unlink() for p in t.glob("test/*/*")], "test holds no pictures"),
        (lambda t: (t / "train/orange/notes.txt").write_text("hello"), "notes.txt is not a whole picture"),
        (
            lambda t: (t / "test/orange/1.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
            "1.png is not a whole picture",
        ),
        (grey, r"channels have mean 0.5000, 0.5000, 0.5000; \(0.5, 0.25, 0.0\) is expected"),
    ],
)
def test_what_is_no_such_set_is_refused_and_nothing_is_kept(tree, spoil, words):
    spoil(tree)
    with pytest.raises(UserError, match=words):
        folders("tiny", **GIVEN)
    assert not list(Path(tree.parent).glob("*.npz"))


def test_pictures_of_a_photograph_are_resampled_by_lanczos(tree):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tree / "train/orange/1.png")
    wide = Image.fromarray(pixels).resize((16, 16), Image.Resampling.LANCZOS)
    both = np.stack([np.zeros((16, 16, 3)), np.asarray(wide)]) / 255
    given = {**GIVEN, "side": 16, "mean": tuple(both.mean((0, 1, 2))), "std": tuple(both.std((0, 1, 2)))}
    assert (np.load(folders("tiny", **given)[0])["x"][1] == np.asarray(wide)).all()
