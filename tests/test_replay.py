"""Replays: what they see, and what `papers_nb reproduce` says of true and false records."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import replay as tool

from papers_nb import cli, parameters, player, runs
from papers_nb.core import replay
from papers_nb.errors import UserError
from papers_nb.parameters import check

SMALL = {"data": "digits", "host": "er-ace", "norm": "bn-joint", "epochs": 1, "seed": 3}


def task(folder, name, whole=True, **params):
    """What `play` takes."""
    params = check("adab2n/train", {**SMALL, **params})
    return {"notebook": "adab2n/train", "params": params, "whole": whole, "out": str(folder / f"{name}.json")}


def answers(tasks):
    """What `play` found."""
    return {Path(t["out"]).stem: json.loads(Path(t["out"]).read_text()) for t in tasks}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Runs by the present code in one process: a seed, another, the first again, the first not to its end."""
    folder = tmp_path_factory.mktemp("played")
    tasks = [
        task(folder, "first"),
        task(folder, "other", seed=4),
        task(folder, "again"),
        task(folder, "begun", whole=False),
    ]
    player.play(player.ROOT, [*tasks, task(folder, "broken", data="cifar10", tasks=3)])
    return answers([*tasks, task(folder, "broken")])


@pytest.fixture(scope="module")
def unmasked(tmp_path_factory):
    """The same run, by a copy of the library whose ER-ACE does not mask old classes."""
    folder = tmp_path_factory.mktemp("unmasked")
    shutil.copytree(
        player.ROOT / "papers_nb", folder / "papers_nb", ignore=shutil.ignore_patterns("nbs", "__pycache__")
    )
    shutil.copytree(runs.NOTEBOOKS, folder / "nbs")
    hosts = folder / "papers_nb/adab2n/hosts.py"
    text = hosts.read_text(encoding="utf-8")
    mask = "return logits.masked_fill("
    assert text.count(mask) == 1
    hosts.write_text(text.replace(mask, "return logits  # .masked_fill("), encoding="utf-8")
    player.play(folder, [task(folder, "first")])
    return json.loads((folder / "first.json").read_text())


def test_a_run_after_another_in_one_process_has_the_same_bits(played):
    assert tool.compare(played["first"], played["again"]) == ("replayed", "")
    assert tool.compare(played["first"], played["other"])[0] == "differs"


def test_a_long_run_is_played_some_steps_past_its_first_evaluation(played):
    rows, whole = played["begun"]["rows"], played["first"]["rows"]
    assert rows == whole[: len(rows)] and len(rows) < len(whole)
    assert [i for i, r in enumerate(rows) if "class_il" in r] == [len(rows) - player.MORE - 1]
    assert played["begun"]["record"] is None and played["begun"]["net"]


def test_a_mistake_is_an_answer_and_the_next_task_is_played(played):
    assert played["broken"]["error"].startswith("tasks=3")
    assert tool.compare(played["broken"], played["first"]) == ("cannot be tried", played["broken"]["error"])
    assert tool.compare(played["first"], played["broken"]) == ("differs", played["broken"]["error"])


def test_a_mask_that_is_gone_is_seen_though_twenty_steps_are_blind(played, unmasked):
    assert [r["loss"] for r in unmasked["rows"][:20]] == [r["loss"] for r in played["first"]["rows"][:20]]
    outcome, why = tool.compare(played["first"], unmasked)
    assert outcome == "differs" and why.startswith("loss at step ")


@pytest.mark.parametrize("part", ["row", "metric", "weights", "steps"])
def test_every_part_of_a_run_is_compared(played, part):
    other = copy.deepcopy(played["first"])
    match part:
        case "row":
            other["rows"][-1]["task_il"][0] += 1e-9
        case "metric":
            other["record"]["metrics"]["fwt"]["value"] += 1e-12
        case "weights":
            other["net"] = "0"
        case "steps":
            other["rows"] = other["rows"][:-1]
    assert tool.compare(played["first"], other)[0] == "differs"


def test_what_is_added_is_no_difference(played):
    more = copy.deepcopy(played["first"])
    more["rows"][0]["more"], more["record"]["metrics"]["more"] = 1.0, {"value": 1.0, "unit": "1"}
    assert tool.compare(played["first"], more) == ("replayed", "")


def falsified(record, part):
    """A record with one thing made false."""
    false = copy.deepcopy(record)
    match part:
        case "class_il":
            false["metrics"]["class_il"]["value"] += 0.3
        case "fwt":
            false["metrics"]["fwt"]["value"] += 0.3
        case "series":
            false["series"]["class_il"][0][0] += 1
        case "losses":
            false["first_losses"][7] *= 1.0001
    return false


@pytest.mark.parametrize("part", ["class_il", "fwt", "series", "losses"])
def test_a_record_made_false_by_hand_is_found_out(played, part):
    record, others = played["first"]["record"], [played["other"]["record"], played["again"]["record"]]
    assert replay.judged(record, others, played["again"]) == (True, "the same bits")
    good, text = replay.judged(falsified(record, part), others, played["again"])
    assert not good and "does not fit itself" in text


def test_another_processor_is_judged_by_the_interval_over_seeds(played):
    record, others = played["first"]["record"], [copy.deepcopy(played["other"]["record"]) for _ in range(3)]
    for other, value in zip(others, (50.0, 60.0, 70.0), strict=True):
        other["metrics"]["class_il"]["value"] = value
    there = copy.deepcopy(played["first"])
    there["record"]["first_losses"][3] *= 1 + 1e-6
    there["record"]["series"]["class_il"][0][0] += 1
    there["record"]["metrics"]["class_il"]["value"] += 5
    assert replay.judged(record, others, there)[0]
    assert "too few seeds" in replay.judged(record, others[:1], there)[1]
    there["record"]["metrics"]["class_il"]["value"] += 90
    assert "outside" in replay.judged(record, others, there)[1]
    there["record"]["first_losses"][3] *= 1.01
    assert "first steps" in replay.judged(record, others, there)[1]


def test_the_command_reproduces_a_record_and_names_near_ones(played, run_root, capsys):
    record = played["first"]["record"]
    folder = run_root / record["name"]
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))
    assert cli.main(["reproduce", record["name"].rpartition("/")[2]]) == 0
    assert "the same bits" in capsys.readouterr().out
    (folder / "record.json").write_text(json.dumps({**record, "data": {"digits": "0123456789abcdef"}}))
    assert cli.main(["reproduce", record["name"]]) == 1 and "other data" in capsys.readouterr().out
    assert cli.main(["reproduce", "digits-sed0"]) == 2
    assert "no record is called 'digits-sed0'; near: " in capsys.readouterr().err


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A table and a store of their own, one record, and a player that counts."""
    record = copy.deepcopy(runs.kept("adab2n")[-1])
    asked = []

    def play(root, tasks, done):
        """Answer with the record itself."""
        asked.extend([root] * len(tasks))
        for t in tasks:
            rows = [{"step": i, "loss": v} for i, v in enumerate(record["first_losses"])]
            answer = {"rows": rows, "record": record, "net": "0", "files": {}}
            part = Path(t["out"] + ".part")
            part.write_text(json.dumps(answer))
            done(part.rename(t["out"]))

    (tmp_path / "adab2n").mkdir()
    monkeypatch.setattr(runs, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(parameters, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(runs, "kept", lambda paper: [record])
    for module in (runs, replay):
        monkeypatch.setattr(module, "records", lambda paper, here=True: [record])
    monkeypatch.setattr(tool, "chosen", lambda names: [record])
    monkeypatch.setattr(tool, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(tool, "checkout", lambda commit, folder: tmp_path)
    monkeypatch.setattr(player, "play", play)
    monkeypatch.setattr(replay, "present", lambda asked: "c0de")
    replay._outcomes.cache_clear()
    yield record, asked
    replay._outcomes.cache_clear()


def test_a_replay_is_written_down_and_not_done_twice(desk, capsys):
    record, asked = desk
    assert replay.status(record) == "other"
    assert tool.main([]) == 0 and asked == [tool.KEPT.parent, tool.ROOT]
    [row] = replay.rows("adab2n")
    assert replay.differences("adab2n") == {row["instructions"]: [0.0]}
    assert (row["record"], row["present"], row["outcome"], row["file"]) == (
        record["name"],
        "c0de",
        "replayed",
        "same bits",
    )
    assert replay.differences("adab2n") == {row["instructions"]: [0.0]}
    assert tool.main([]) == 0 and len(asked) == 2
    assert tool.main([], everything=True) == 0 and asked[2:] == [tool.ROOT]


def test_a_replay_counts_for_all_seeds_and_for_the_present_code_alone(desk, monkeypatch):
    record, _ = desk
    tool.main([])
    replay._outcomes.cache_clear()
    sister = copy.deepcopy(record) | {"seed": 77}
    sister["parameters"]["seed"] = 77
    stranger = copy.deepcopy(record)
    stranger["parameters"]["lr"] = 9.0
    assert replay.groups([record, sister, stranger, {**record, "code": "c0de"}]) == {
        "replayed": 2,
        "other": 1,
        "this code": 1,
    }
    monkeypatch.setattr(replay, "present", lambda asked: "later")
    assert replay.status(record) == "other"


def test_a_commit_or_data_not_at_hand_is_said_and_tried_again(desk, monkeypatch):
    record, _ = desk
    monkeypatch.setattr(tool, "checkout", lambda commit, folder: None)
    assert tool.main([]) == 0
    assert (
        replay.status(record)
        == f"cannot be tried here (commit {record['environment']['commit'][:7]} is not at hand)"
    )
    assert not list(tool.KEPT.iterdir())


def test_unknown_and_ambiguous_names_are_one_line():
    with pytest.raises(UserError, match="records are called 'digits'; near: "):
        replay.reproduce("digits")
