"""From pictures to features: tables that are read or refused, and a run that goes on."""

import pytest
import torch
from breaking import Breaking, Killed
from PIL import Image

from papers_nb.errors import UserError
from papers_nb.lirdrec import features
from papers_nb.lirdrec.features import (
    Describer,
    Encoder,
    Item,
    Rows,
    fit,
    read_items,
    shapes,
    tiny_encoder,
    tiny_vision,
)


def item_folder(folder, rows, head="item,title,brand,category,description,image"):
    """A table of items with one picture."""
    Image.new("RGB", (20, 10), "red").save(folder / "a.png")
    (folder / "items.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def test_items_are_read_with_their_words_and_pictures(tmp_path):
    items = read_items(item_folder(tmp_path, ['0,Cup,Acme,,"red, round",a.png', "1,Plate,,,,"]))
    assert (
        [i.words for i in items] == ["Cup. Acme. red, round", "Plate"]
        and items[0].image().size == (20, 10)
        and items[1].picture is None
    )


@pytest.mark.parametrize(
    "rows,head,words",
    [
        (["0,Cup,,,,a.png", "2,Plate,,,,"], None, "row 3 is another"),
        (["0,Cup,,,,", "1,,,,,"], None, "item 1: neither words nor a picture"),
        ([], None, "no rows"),
        (["Cup"], "title", "no column item"),
    ],
)
def test_malformed_items_are_refused(tmp_path, rows, head, words):
    with pytest.raises(UserError, match=words):
        read_items(item_folder(tmp_path, rows, *([head] if head else [])))


def test_tables_of_other_programs_are_read_or_refused(tmp_path):
    item_folder(tmp_path, ["0,Tasse à thé,,,,"])
    table = tmp_path / "items.csv"
    table.write_text(table.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_items(tmp_path)[0].words == "Tasse à thé"
    table.write_text(table.read_text(encoding="utf-8-sig"), encoding="latin-1")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_items(tmp_path)


def test_a_picture_that_is_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    (tmp_path / "baby").mkdir()
    folder = item_folder(tmp_path / "baby", ["0,Cup,,,,a.png", "1,Plate,,,,b.png"])
    with pytest.raises(UserError, match=r"b\.png does not exist"):
        features.SETS["baby"].checksum()
    (folder / "b.png").write_bytes(b"no picture")
    before = features.SETS["baby"].checksum()
    with pytest.raises(UserError, match=r"b\.png cannot be read as a picture"):
        features.SETS["baby"].load()[1].image()
    (folder / "b.png").write_bytes(b"another")
    assert features.SETS["baby"].checksum() != before


def test_describing_goes_on_where_it_was_killed_and_asks_nothing_twice():
    items, asked = [*shapes()[:9], Item("no picture")], []

    def describe(pictures):
        asked.extend(p.getpixel((24, 24)) for p in pictures)
        return [f"colour {p.getpixel((24, 24))}" for p in pictures]

    def encode(texts):
        return torch.tensor([[float(len(t)), hash(t) % 97] for t in texts])

    whole = Rows()
    fit(Breaking(), items, describe, encode, whole, batch=3)
    first, broken = asked[:], Breaking(stop=2)
    asked.clear()
    with pytest.raises(Killed):
        fit(broken, items, describe, encode, Rows(), batch=3)
    rows = Rows()
    fit(Breaking(saved=broken.saved), items, describe, encode, rows, batch=3)
    with pytest.raises(UserError, match="begun with the models"):
        fit(Breaking(saved=broken.saved), items, describe, encode, Rows("others"), batch=3)
    assert (
        rows.captions == whole.captions
        and torch.equal(rows.embeddings, whole.embeddings)
        and len(rows.captions) == 10
        and rows.captions[-1] == ""
    )
    assert len(first) == 9 and len(asked) <= 12, "at most the batch that was broken is asked again"


def test_tiny_models_are_loaded_as_real_ones_and_answer_alike_every_time(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")
    pictures = [i.image() for i in shapes()[:3]]
    describe, encode = (
        Describer(tiny_vision(tmp_path / "vision"), prompt="a red circle", tokens=6),
        Encoder(tiny_encoder(tmp_path / "encoder")),
    )
    assert encode.cut(["wood " * 600, "wood"]) == 1
    said = describe(pictures)
    other = Describer(tiny_vision(tmp_path / "right"), prompt="a red circle", tokens=6)
    assert (
        describe.found == other.found != Describer(tiny_vision(tmp_path / "seed", seed=1)).found
        and other.processor.tokenizer.padding_side == "left"
    )
    assert len(said) == 3 and said == describe(pictures) and said[:1] == describe(pictures[:1])
    rows = encode(["small red circle", "large green square", "wood"])
    assert (
        rows.shape == (3, 24)
        and torch.allclose(rows.norm(dim=1), torch.ones(3), atol=1e-5)
        and rows.dtype == torch.float32
    )
    with pytest.raises(UserError, match=r"vision='.*nowhere' cannot be loaded"):
        Describer(str(tmp_path / "nowhere"))
