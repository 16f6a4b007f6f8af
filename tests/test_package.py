"""The built wheel in clean environments, outside the checkout: base alone, and with what the trainings need."""
import json
import os
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pages
import pytest

ROOT = pages.ROOT


def sh(*args, cwd, check=True, **env):
    """Run a command without this checkout on its path."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PAPERS_NB_RUNS")}
    done = subprocess.run([str(a) for a in args], cwd=cwd, env={**clean, **env}, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution as a release is."""
    out = tmp_path_factory.mktemp("dist")
    sh(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("*.whl"))


def environment(folder, wheel, extra=""):
    """A clean environment with the wheel; returns its bin folder."""
    sh(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    sh(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-c", ROOT / "constraints.txt", f"{wheel}{extra}", cwd=folder.parent)
    return folder / "bin"


@pytest.fixture(scope="session")
def base(tmp_path_factory, wheel):
    """The base install."""
    return environment(tmp_path_factory.mktemp("base") / "venv", wheel)


@pytest.fixture(scope="session")
def full(tmp_path_factory, wheel):
    """The install with every extra that a training needs."""
    return environment(tmp_path_factory.mktemp("run") / "venv", wheel, "[all]")


def test_the_wheel_carries_notebooks_records_and_settings_and_is_small(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        assert "papers_nb/nbs/adab2n/30_train.ipynb" in names and "papers_nb/record.schema.json" in names and "papers_nb/py.typed" in names
        assert z.read("papers_nb/settings.ini") == (ROOT / "settings.ini").read_bytes()
        stored = {f"papers_nb/{p.relative_to(ROOT).as_posix()}" for p in ROOT.glob("nbs/*/records.jsonl")}
        assert stored <= set(names)
        assert not [n for n in names if "/_text/" in n or "/runs/" in n or n.endswith(".yml")]
    assert wheel.stat().st_size < 10e6


def test_the_base_install_is_small_and_runs_a_layer(base, tmp_path):
    code = "import torch; from papers_nb.adab2n import AdaB2N; print(tuple(AdaB2N(4, tasks=2)(torch.randn(3, 4, 5, 5)).shape), torch.cuda.is_available())"
    assert sh(base / "python", "-c", code, cwd=tmp_path).stdout.startswith("(3, 4, 5, 5)")
    installed = {p["name"].lower() for p in json.loads(sh(base / "pip", "list", "--format", "json", "--disable-pip-version-check", cwd=tmp_path).stdout)}
    assert {"torch", "numpy", "safetensors"} <= installed and not {"pandas", "papermill", "scipy", "matplotlib", "torchvision"} & installed
    if sys.platform == "linux" and "+cpu" in sh(base / "python", "-c", "import torch; print(torch.__version__)", cwd=tmp_path).stdout:
        assert not [n for n in installed if n.startswith("nvidia")]


def test_every_part_imports_with_the_base_alone(base, tmp_path):
    parts = [f"papers_nb.{n.replace('/', '.')}" for n in pages.exports() if n.split("/")[0] != "index"]
    sh(base / "python", "-c", f"import importlib\nfor m in {parts}: importlib.import_module(m)", cwd=tmp_path)


def test_what_needs_an_extra_names_it(base, tmp_path):
    done = sh(base / "python", "-c", "from papers_nb.core.stats import interval; interval([1., 2.])", cwd=tmp_path, check=False)
    assert done.stderr.strip().endswith("papers_nb.errors.UserError: scipy is not installed: pip install 'papers_nb[run]'")


def test_a_training_of_an_importer_needs_no_papermill(base, tmp_path):
    code = """
import torch
from papers_nb.adab2n.data import Stream, Tasks
from papers_nb.adab2n.hosts import Reservoir
from papers_nb.adab2n.nets import norm_layer, small_net
from papers_nb.adab2n.train import fit
from papers_nb.core.train import Stepper
x, y = torch.randint(0, 17, (80, 1, 8, 8), dtype=torch.uint8), torch.arange(80) % 4
mine = Tasks('digits', x, y, x, y, tasks=2, classes=4)
run, net = Stepper(0), small_net(1, 4, norm_layer('adab2n', 2))
fit(run, net, mine, Stream(mine.task_of(y), 2, epochs=2), Reservoir(20, (1, 8, 8), 4))
print(len(run.metrics))
"""
    assert sh(base / "python", "-c", code, cwd=tmp_path).stdout.strip() == "16"


def test_the_command_line_works_from_the_wheel(base, tmp_path):
    assert "papers://adab2n/train.ipynb" in sh(base / "papers_nb", "list", cwd=tmp_path).stdout
    assert sh(base / "papers_nb", "--version", cwd=tmp_path).stdout.strip() == "0.1.0"


def papermill(full, tmp_path, *args, check=True):
    """papermill of the clean environment."""
    return sh(full / "papermill", "--engine", "papers", "--no-progress-bar", *args, cwd=tmp_path, check=check, PAPERS_NB_RUNS=str(tmp_path / "runs"))


def trainings():
    """Numberless names of the training notebooks."""
    return [n for n, p in __import__("papers_nb.runs", fromlist=["runs"]).notebooks().items() if p.name.startswith("3")]


@pytest.mark.parametrize("name", trainings())
def test_each_training_runs_at_its_defaults_and_agrees_with_its_stored_record(full, tmp_path, name):
    papermill(full, tmp_path, f"papers://{name}.ipynb", "out.ipynb")
    record = json.loads(next((tmp_path / "runs").glob("*/*/record.json")).read_text())
    stored = [json.loads(line) for line in (ROOT / "nbs" / name.split("/")[0] / "records.jsonl").read_text().splitlines()]
    stored = [r for r in stored if r["notebook"] == name]
    same = next(r for r in stored if r["name"] == record["name"])
    if not same["first_losses"]:  # nothing is trained there
        assert all(record["metrics"][k] == same["metrics"][k] for k in ("items", "numbers", "texts_cut")) and record["steps"] == same["steps"]
        return
    assert len(same["first_losses"]) == len(record["first_losses"]) == 20
    assert all(abs(a - b) <= 1e-3 * abs(b) for a, b in zip(record["first_losses"], same["first_losses"])), (record["first_losses"], same["first_losses"])
    seeds = [r["metrics"] for r in stored if {**r["parameters"], "seed": 0} == {**same["parameters"], "seed": 0}]
    headline = next(iter(same["metrics"]))
    spread = statistics.stdev(m[headline]["value"] for m in seeds)
    assert abs(record["metrics"][headline]["value"] - same["metrics"][headline]["value"]) <= spread


def test_seeds_presets_and_mistakes_from_the_wheel(full, tmp_path):
    papermill(full, tmp_path, "papers://adab2n/train.ipynb", "OUT.ipynb", "-p", "seed", "1")
    papermill(full, tmp_path, "papers://adab2n/train.ipynb", "OUT.ipynb", "-f", "papers://adab2n/split-digits.yaml", "-p", "seed", "1")
    assert len(list((tmp_path / "runs").glob("*/*/record.json"))) == 1, "the preset asks for the same run"
    done = papermill(full, tmp_path, "papers://adab2n/train.ipynb", "OUT.ipynb", "-p", "sed", "1", check=False)
    assert done.returncode == 1 and "unknown parameter 'sed', did you mean 'seed'?" in done.stderr


def test_public_names_are_imported_from_their_own_modules():
    for file in Path(ROOT, "papers_nb").glob("*/__init__.py"):
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith(('"""', "__all__"))]
        assert all(line.startswith(f"from papers_nb.{file.parent.name}.") for line in lines), file
    for file in Path(ROOT, "papers_nb").glob("*/*.py"):
        if file.name != "__init__.py":
            assert "from papers_nb.adab2n import" not in file.read_text(), f"{file} imports from the package, which hides the module from the code hash"


def test_the_plain_modules_stay_small():
    plain = [f for f in Path(ROOT, "papers_nb").glob("*.py") if f.name != "_modidx.py"]
    assert sum(len(f.read_text().splitlines()) for f in plain) < 800
