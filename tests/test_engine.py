"""papermill with our engine and address, and the command line: what a user's mistake looks like."""

import json
import subprocess
import sys

import pytest

from papers_nb import cli, runs

TOOL = [sys.executable, "-m"]


def papermill(*args, cwd=None):
    """The result of a papermill call."""
    return subprocess.run(
        [*TOOL, "papermill", "--engine", "papers", "--no-progress-bar", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "flags,words",
    [
        (
            ["-p", "sed", "1"],
            "unknown parameter 'sed', did you mean 'seed'?; the notebook takes data, tasks, host",
        ),
        (
            ["-p", "norm", "bn"],
            "parameter norm='bn' does not fit: one of bn-separate, bn-joint, cma-joint, ",
        ),
        (["-p", "x=1; print('pwned') #", "5"], "unknown parameter \"x=1; print('pwned') #\""),
        (["-p", "augment", "yes"], "parameter augment='yes' does not fit: bool is expected"),
    ],
)
def test_a_wrong_parameter_stops_before_a_kernel_starts(tmp_path, run_root, flags, words):
    done = papermill("papers://adab2n/train.ipynb", tmp_path / "out.ipynb", *flags)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert done.returncode == 2 and len(lines) == 1 and words in lines[0], done.stderr
    assert "Traceback" not in done.stderr
    assert not run_root.exists()


@pytest.mark.parametrize(
    "address,words",
    [
        ("papers://adab2n/trian.ipynb", "no notebook 'adab2n/trian'; there are adab2n/overview"),
        ("papers://pcpg/train.ipynb", "no notebook 'pcpg/train'"),
    ],
)
def test_a_notebook_that_does_not_exist_lists_those_that_do(tmp_path, address, words):
    done = papermill(address, tmp_path / "out.ipynb")
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_a_preset_that_does_not_exist_lists_those_that_do(tmp_path):
    done = papermill(
        "papers://adab2n/train.ipynb", tmp_path / "out.ipynb", "-f", "papers://adab2n/split.yaml"
    )
    assert (
        done.returncode == 2
        and "no preset 'adab2n/split'; there are adab2n/split-digits" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_mistake_found_in_the_kernel_is_one_line(tmp_path):
    done = papermill("papers://adab2n/train.ipynb", tmp_path / "out.ipynb", "-p", "tasks", 3)
    assert (
        done.returncode == 1
        and "Error: tasks=3: digits has 10 classes, which must divide into tasks" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_strings_become_the_types_of_the_parameters_cell(tmp_path, run_root):
    done = papermill(
        "papers://adab2n/train.ipynb",
        tmp_path / "out.ipynb",
        "-f",
        "papers://adab2n/split-digits.yaml",
        "-p",
        "augment",
        "true",
        "-p",
        "epochs",
        "1",
        "-p",
        "data",
        "digits",
    )
    assert done.returncode == 0, done.stderr
    assert "unknown parameter" not in done.stderr and "Unable to parse" not in done.stderr
    record = json.loads(next(run_root.glob("*/*/record.json")).read_text())
    assert (
        record["parameters"]["augment"] is True
        and record["parameters"]["epochs"] == 1
        and record["steps"] == 124
    )
    streams = [
        o
        for c in json.loads((tmp_path / "out.ipynb").read_text())["cells"]
        for o in c.get("outputs", [])
        if o.get("name") == "stderr"
    ]
    assert len(streams) <= 1, "a progress bar is stored once"


def test_without_our_engine_the_notebook_itself_refuses(tmp_path, run_root):
    page = next(
        p
        for n, p in __import__("papers_nb.runs", fromlist=["runs"]).notebooks().items()
        if n == "adab2n/train"
    )
    done = subprocess.run(
        [*TOOL, "papermill", "--no-progress-bar", str(page), str(tmp_path / "out.ipynb"), "-p", "sed", "1"],
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 1
        and "unknown parameter 'sed', did you mean 'seed'?" in done.stderr
        and not run_root.exists()
    )


# ---- command line ----


def call(capsys, *args):
    """Exit code, output and errors of the command line."""
    try:
        code = cli.main(list(args))
    except SystemExit as e:
        code = e.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    "args,words",
    [
        (["grid", "adab2n/trian"], "no notebook 'adab2n/trian'"),
        (["grid", "adab2n/train", "--grid", "sed=0..3"], "did you mean 'seed'"),
        (["grid", "adab2n/train", "--grid", "seed"], "no grid 'seed'"),
        (
            ["grid", "adab2n/train", "--grid", "seed=0,0"],
            "a run of the grid is asked for twice: adab2n-train/digits-seed0-",
        ),
        (["grid", "adab2n/train", "--grid", "seed=0;norm"], "grid 'norm': write name=value,value"),
        (["grid", "adab2n/train", "--preset", "x"], "no preset 'adab2n/x'"),
        (
            ["grid", "adab2n/train", "--grid", "seed=0..3", "--task", "4"],
            "--task 4: the grid has runs 0 to 3",
        ),
        (["grid", "adab2n/train", "--gpus", "a"], "--gpus 'a'"),
        (["fetch", "cifar11"], "no data set 'cifar11'; there are digits, cifar10, cifar100"),
    ],
)
def test_a_mistake_in_a_call_is_one_line_and_code_2(capsys, args, words):
    code, out, err = call(capsys, *args)
    assert code == 2 and words in err and err.count("\n") == 1 and out == ""


def test_list_names_everything_that_can_be_run(capsys):
    code, out, _ = call(capsys, "list")
    assert code == 0 and "papers://adab2n/train.ipynb" in out and "papers://adab2n/split-digits.yaml" in out


def test_grid_lists_one_command_a_run(capsys):
    code, out, _ = call(capsys, "grid", "adab2n/train", "--grid", "norm=bn-joint,adab2n;seed=0..2", "--list")
    lines = out.splitlines()
    assert (
        code == 0
        and len(lines) == 6
        and all("papermill --engine papers" in line and "-p seed" in line for line in lines)
    )
    assert len({line.split("mkdir -p ")[1].split(" &&")[0] for line in lines}) == 6


@pytest.mark.parametrize("notebook", [n for n, p in runs.notebooks().items() if p.name[0] == "3"])
def test_every_training_runs_in_a_grid(capsys, notebook):
    code, out, _ = call(capsys, "grid", notebook, "--grid", "seed=0..2", "--dry-run")
    kinds = [name.split("/")[0] for name in {line.split()[1] for line in out.splitlines()}]
    assert code == 0 and kinds.count(notebook.replace("/", "-")) == 3
    assert {kinds.count(kind) for kind in kinds} == {3}, "what they follow, once for each seed"


def test_grid_says_what_is_done(capsys):
    code, out, _ = call(capsys, "grid", "adab2n/train", "--grid", "seed=0..2", "--dry-run")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["new"] * 3


def test_grid_runs_skips_and_tells_what_failed(capsys, run_root):
    grid = ["grid", "adab2n/train", "--grid", "seed=0,1", "-p", "epochs", "1", "--workers", "2"]
    assert call(capsys, *grid)[0] == 0
    code, out, _ = call(capsys, *grid)
    assert code == 0 and "2 runs: 2 done, 0 to run" in out and "\n| 2 " in out
    code, out, err = call(capsys, "grid", "adab2n/train", "--grid", "tasks=3,5", "-p", "epochs", "1")
    assert (
        code == 1
        and "tasks=3: digits has 10 classes" in out
        and "1 of 2 runs are not done; to go on with them: papers_nb" in err
    )


def test_grid_refuses_what_other_code_finished(capsys, run_root):
    call(capsys, "grid", "adab2n/train", "--grid", "seed=0", "-p", "epochs", "1")
    file = next(run_root.glob("*/*/record.json"))
    file.write_text(file.read_text().replace('"code": "', '"code": "0'))
    code, out, _ = call(capsys, "grid", "adab2n/train", "--grid", "seed=0", "-p", "epochs", "1")
    assert code == 1 and "refused" in out and "--fresh keeps the old folder aside" in out
    assert call(capsys, "grid", "adab2n/train", "--grid", "seed=0", "-p", "epochs", "1", "--fresh")[0] == 0
    assert len(list(run_root.glob("*/*.old1/record.json"))) == 1


def test_results_and_claims_answer_without_runs(capsys):
    assert call(capsys, "results", "adab2n")[0] == 0
    assert call(capsys, "claims")[0] == 0 and call(capsys, "claims", "--json")[1].strip().startswith("[")


def test_importing_the_package_imports_no_torch():
    heavy = "('torch', 'pandas', 'matplotlib', 'papermill')"
    code = f"import sys, papers_nb, papers_nb.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
