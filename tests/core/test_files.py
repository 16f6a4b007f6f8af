"""Files that cannot be had, are not what they should be, or would do harm: one line each, none half there."""

import hashlib
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import numpy as np
import pytest
from served import Served, archive

from papers_nb import cli, runs
from papers_nb.core import files
from papers_nb.errors import UserError

WANT = "import sys; from papers_nb.core import files; print(files.download(*sys.argv[1:]).read_text())"


@pytest.fixture
def server(request, tmp_path, monkeypatch):
    """A server, and an empty cache; its parameters as `Served` takes them."""
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path / "cache"))
    served = Served(**getattr(request, "param", {}))
    served.files["set.zip"] = b"content"
    yield served
    served.close()


def cached():
    """Names in the cache, locks left out."""
    return sorted(p.name for p in files.cache().glob("*") if p.suffix != ".lock")


def wanting(server):
    """A process that downloads the file of the server."""
    call = [sys.executable, "-c", WANT, f"{server.url}/set.zip", "A set"]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused(words, call, *args):
    """The call is refused in one line with these words."""
    with pytest.raises(UserError) as e:
        call(*args)
    assert all(w in str(e.value) for w in words) and "\n" not in str(e.value), str(e.value)


# ---- downloads ----


@pytest.mark.parametrize("server", [{"slow": 2.0}], indirect=True)
def test_a_second_process_waits_for_the_download_of_the_first(server):
    first = wanting(server)
    while not server.asked:
        time.sleep(0.05)
    second = wanting(server)
    said = [p.communicate(timeout=120) for p in (first, second)]
    assert [out.strip() for out, _ in said] == ["content"] * 2, said
    assert server.asked == ["set.zip"] and cached() == ["set.zip"]


@pytest.mark.parametrize("server", [{"slow": 60.0}], indirect=True)
def test_a_download_that_is_interrupted_leaves_no_partial_file(server):
    process = wanting(server)
    while not server.asked:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode and cached() == []


@pytest.mark.parametrize("server", [{"slow": 60.0}], indirect=True)
def test_what_a_killed_download_leaves_is_never_taken_for_the_file(server):
    process = wanting(server)
    while not server.asked:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    assert "set.zip" not in cached()
    again = Served()
    again.files["set.zip"] = b"content"
    assert files.download(f"{again.url}/set.zip", "A set").read_bytes() == b"content"
    again.close()


@pytest.mark.parametrize("server", [{"breaks": True}], indirect=True)
def test_a_download_that_breaks_off_is_refused_and_leaves_nothing(server):
    refused(["cannot download A set", "by hand"], files.download, f"{server.url}/set.zip", "A set")
    assert cached() == []


def test_offline_names_file_address_checksum_and_folder(server):
    words = [
        "cannot download A set",
        "put set.zip (md5 0123) from http://127.0.0.1:9/set.zip",
        str(files.cache()),
    ]
    refused(words, files.download, "http://127.0.0.1:9/set.zip", "A set", "0123")


def test_a_wrong_checksum_leaves_no_file(server):
    refused(["wrong checksum", "was dropped"], files.download, f"{server.url}/set.zip", "A set", "0" * 32)
    assert cached() == []


def test_a_file_put_by_hand_is_taken_and_a_wrong_one_refused(server):
    files.cache().mkdir()
    (files.cache() / "set.zip").write_bytes(b"by hand")
    ask = f"{server.url}/set.zip", "A set"
    assert files.download(*ask, hashlib.md5(b"by hand").hexdigest()).read_bytes() == b"by hand"
    refused(["set.zip has the wrong checksum", "delete it"], files.download, *ask, "0" * 32)
    assert server.asked == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path / "file/cache"))
    refused(
        ["cannot make the folder", "PAPERS_NB_CACHE"], files.download, "http://127.0.0.1:9/set.zip", "A set"
    )


def test_who_waited_makes_nothing_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERS_NB_CACHE", str(tmp_path))
    wanted, made = [tmp_path / "a", tmp_path / "b"], []

    def make():
        made.append(threading.get_ident())
        time.sleep(0.5)
        for file in wanted:
            file.write_bytes(b"1")

    threads = [threading.Thread(target=files.once, args=(wanted, make)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(made) == 1 and files.once(wanted, make) == wanted
    wanted[1].unlink()
    files.once(wanted, make)
    assert len(made) == 2, "one of two files was gone"


# ---- archives, pickles, arrays ----


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(archive({"zeros": bytes(10**6)}))
    refused(["1000000 bytes, more than the 1000 allowed"], files.members, tmp_path / "a.tar.gz", 1000)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_leaves_the_archive_is_refused(tmp_path, name, kind):
    (tmp_path / "a").write_bytes(archive({"good": b"1", name: b"1"}))
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a", "w") as z:
            z.writestr("good", b"1")
            z.writestr(name, b"1")
    refused([f"archive member {name!r} leaves the archive"], files.members, tmp_path / "a")


def test_a_link_in_an_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as t:
        info = tarfile.TarInfo("passwd")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        t.addfile(info)
    refused(["is a link or a device"], files.members, tmp_path / "a.tar")


@pytest.mark.parametrize("content", [archive({"a": b"1" * 9999})[:-20], b"PK", b"", b"nothing"])
def test_a_broken_archive_is_refused(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(content)
    refused(["is not a whole archive", "delete it and fetch it again"], files.members, tmp_path / "a.tar.gz")


def test_both_kinds_of_archive_give_their_files(tmp_path):
    (tmp_path / "a").write_bytes(archive({"d/x": b"1", "y": b"22"}))
    with zipfile.ZipFile(tmp_path / "b", "w") as z:
        z.mkdir("d")
        z.writestr("d/x", b"1")
        z.writestr("y", b"22")
    assert files.members(tmp_path / "a") == files.members(tmp_path / "b") == {"d/x": b"1", "y": b"22"}


@pytest.mark.parametrize("data,words", [
    (pickle.dumps(print), "the pickle asks for builtins.print"),
    (pickle.dumps(np.eye(9))[:50], "not a whole pickle of arrays"),
    (pickle.dumps(np.random.default_rng(0)), "the pickle asks for numpy.random"),
])  # fmt: skip
def test_a_pickle_of_anything_but_arrays_is_refused(data, words):
    refused([words], files.unpickle, data)


def test_no_array_on_disk_is_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([print]), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([print]))
    refused(["not a whole .npy"], files.npy, tmp_path / "x.npy")
    refused(["not a whole .npz"], files.npz, tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes(b"PK nonsense")
    refused(["not a whole .npz"], files.npz, tmp_path / "y.npz")


def test_identity_sees_name_and_content_and_says_what_is_other_than_known(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"1")
    sha = hashlib.sha256(b"1").hexdigest()
    known, other = files.identity([file], {"a": sha[:8]}), files.identity([file], {"a": "0"})
    assert len(known) == 16 and other == f"{known} (a other than known)"
    renamed = file.rename(tmp_path / "b")
    before = files.identity([renamed], {})
    renamed.write_bytes(b"2")
    assert len({known, before, files.identity([renamed], {})}) == 3


# ---- sets by name ----


def test_no_torch_is_needed_to_read_every_card():
    code = (
        "import sys; from papers_nb.core import files, images;"
        "names = [n for m in files.homes() for n in files.cards(m)];"
        "sets = files.find('adab2n/train', 'cifar10').checksum(), images.SETS['digits'].card;"
        "print('torch' in sys.modules, *names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    torch, *names = done.stdout.split()
    assert torch == "False" and {"digits", "movielens-small", "shapes"} <= set(names), done.stderr


def every():
    """Module and name of every set."""
    return [(module, name) for module in files.homes() for name in files.cards(module)]


@pytest.mark.parametrize("module,name", every())
def test_a_card_read_from_the_text_is_that_of_the_set_and_complete(module, name):
    found = files.find(module, name)
    assert found.card == files.cards(module)[name] and list(files.cards(module)) == list(
        vars(sys.modules[f"papers_nb.{module.replace('/', '.')}"])["SETS"]
    )
    for text in (found.card.title, found.card.obtain, found.card.licence, found.card.cite, found.card.size):
        assert text and "\n" not in text
    for call in (found.load, found.fetch, found.checksum):
        assert callable(call)


def test_a_set_of_the_notebook_comes_before_that_of_the_paper():
    assert files.find("lirdrec/features", "baby").card.title == "Items of Baby"
    assert (
        files.find("lirdrec/train", "baby").card.title
        == files.find("", "baby").card.title
        == "Amazon Baby 2014"
    )
    assert files.find("lirdrec", "digits") is files.find("adab2n/train", "digits")


def test_a_name_that_no_module_has_lists_those_that_exist():
    refused(["no data set 'netflix'; there are shapes, baby"], files.find, "lirdrec/features", "netflix")
    refused(
        ["no data set 'shapes'; there are digits, cifar10, cifar100, miniimagenet"],
        files.find,
        "adab2n/train",
        "shapes",
    )


def test_checksums_are_those_that_the_records_hold():
    seen = {
        (r["notebook"], *pair)
        for paper in ("adab2n", "lirdrec")
        for r in runs.records(paper, here=False)
        for pair in r["data"].items()
    }
    made = {(n, name, sums) for n, name, sums in seen if name != "baby"}
    assert {name for _, name, _ in made} >= {"digits", "cifar10", "synthetic", "movielens-small", "shapes"}
    for notebook, name, sums in made:
        assert files.find(notebook, name).checksum() == sums, name


# ---- the command ----


def test_fetch_brings_a_set_of_any_paper(server, monkeypatch, capsys):
    from papers_nb.lirdrec import data

    server.files["ml-latest-small.zip"] = b"content"
    monkeypatch.setattr(data, "MOVIELENS", f"{server.url}/ml-latest-small.zip")
    for _ in range(2):
        assert cli.main(["fetch", "movielens-small"]) == 0
        assert capsys.readouterr().out.strip() == str(files.cache() / "ml-latest-small.zip")
    assert server.asked == ["ml-latest-small.zip"]


def test_fetch_says_what_needs_no_fetching(capsys):
    assert cli.main(["fetch", "digits"]) == cli.main(["fetch", "synthetic"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Optical digits (UCI) comes with scikit-learn; nothing to fetch",
        "A made-up shop is drawn from the seed; nothing to fetch",
    ]


@pytest.mark.parametrize("name,words", [
    ("baby", ["cache/baby has neither baby.inter", "there: baby.inter, image_feat.npy, text_feat.npy"]),
    ("miniimagenet", ["has to come from you", "put train_x.npy, train_y.npy", "cache/miniimagenet"]),
    ("netflix", ["no data set 'netflix'; there are digits, cifar10, ", "movielens-small, baby, ", "shapes"]),
])  # fmt: skip
def test_fetch_says_in_one_line_what_to_do(server, capsys, name, words):
    assert cli.main(["fetch", name]) == 2
    said = capsys.readouterr().err.strip()
    assert all(w in said for w in words) and "\n" not in said, said


def test_fetch_offline_says_what_to_put_where(server, monkeypatch, capsys):
    from papers_nb.lirdrec import data

    monkeypatch.setattr(data, "MOVIELENS", "http://127.0.0.1:9/ml-latest-small.zip")
    assert cli.main(["fetch", "movielens-small"]) == 2
    said = capsys.readouterr().err.strip()
    assert (
        "cannot download MovieLens" in said
        and "put ml-latest-small.zip from http://127.0.0.1:9" in said
        and "\n" not in said
    )
