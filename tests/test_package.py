"""The built wheel in a clean environment, outside the checkout: base alone, then what the trainings need."""

import ast
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pages
import pytest

from papers_nb import runs

ROOT = pages.ROOT


def sh(*args, cwd, check=True, **env):
    """Run a command without this checkout on its path."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PAPERS_NB_RUNS")}
    done = subprocess.run(
        [str(a) for a in args], cwd=cwd, env={**clean, **env}, capture_output=True, text=True
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution as a release is."""
    out = tmp_path_factory.mktemp("dist")
    sh(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("*.whl"))


def install(bin, what):
    """Install into an environment, at the versions that are tested."""
    sh(bin / "pip", "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt", what, cwd=bin)


@pytest.fixture(scope="session")
def base(tmp_path_factory, wheel):
    """A clean environment with the base install; its bin folder."""
    folder = tmp_path_factory.mktemp("venv")
    sh(sys.executable, "-m", "venv", folder, cwd=folder)
    install(folder / "bin", wheel)
    return folder / "bin"


@pytest.fixture(scope="session")
def full(base, wheel):
    """The same environment with every extra that a training needs; tests of the base alone stand before."""
    install(base, f"{wheel}[all]")
    return base


def test_the_wheel_carries_notebooks_records_and_settings_and_is_small(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        files = ("nbs/adab2n/30_train.ipynb", "record.schema.json", "py.typed")
        assert {f"papers_nb/{file}" for file in files} <= set(names)
        assert z.read("papers_nb/settings.ini") == (ROOT / "settings.ini").read_bytes()
        tables = (p for kind in ("jsonl", "csv") for p in ROOT.glob(f"nbs/*/*.{kind}"))
        carried = {f"papers_nb/{p.relative_to(ROOT).as_posix()}" for p in tables}
        assert carried and carried <= set(names)  # a paper that has not run yet has none
        assert not [n for n in names if re.search(r"/(_text|runs|records)/|\.yml$", n)]
    assert wheel.stat().st_size < 10e6


def test_the_base_install_is_small_and_runs_a_layer(base, tmp_path):
    code = """
import torch
from papers_nb.adab2n import AdaB2N
print(tuple(AdaB2N(4, tasks=2)(torch.randn(3, 4, 5, 5)).shape))
"""
    assert sh(base / "python", "-c", code, cwd=tmp_path).stdout.strip() == "(3, 4, 5, 5)"
    listed = sh(base / "pip", "list", "--format", "json", cwd=tmp_path).stdout
    installed = {package["name"].lower() for package in json.loads(listed)}
    assert {"torch", "numpy", "safetensors"} <= installed
    assert not {"pandas", "papermill", "scipy", "matplotlib", "torchvision"} & installed
    version = sh(base / "python", "-c", "import torch; print(torch.__version__)", cwd=tmp_path).stdout
    assert "+cpu" not in version or not [name for name in installed if name.startswith("nvidia")]


def test_every_part_imports_with_the_base_alone(base, tmp_path):
    parts = [f"papers_nb.{n.replace('/', '.')}" for n in pages.exports() if n.split("/")[0] != "index"]
    sh(base / "python", "-c", f"import importlib\nfor m in {parts}: importlib.import_module(m)", cwd=tmp_path)


def test_what_needs_an_extra_names_it(base, tmp_path):
    code = "from papers_nb.core.stats import interval; interval([1., 2.])"
    done = sh(base / "python", "-c", code, cwd=tmp_path, check=False)
    says = "papers_nb.errors.UserError: scipy is not installed: pip install 'papers_nb[run]'"
    assert done.stderr.strip().endswith(says)


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
fit(run, net, mine, Stream(mine.task_of(y), 2, epochs=2), Reservoir(20, (1, 8, 8), 4), host='er')
print(len(run.metrics))
"""
    assert sh(base / "python", "-c", code, cwd=tmp_path).stdout.strip() == "16"


def test_the_command_line_works_from_the_wheel(base, tmp_path):
    assert "papers://adab2n/train.ipynb" in sh(base / "papers_nb", "list", cwd=tmp_path).stdout
    assert sh(base / "papers_nb", "--version", cwd=tmp_path).stdout.strip() == "0.1.0"


def papermill(full, tmp_path, *args, check=True, root=None):
    """papermill of the clean environment."""
    return sh(
        full / "papermill",
        "--engine",
        "papers",
        "--no-progress-bar",
        *args,
        cwd=tmp_path,
        check=check,
        PAPERS_NB_RUNS=str(root or tmp_path / "runs"),
    )


def trainings():
    """Numberless names of the training notebooks."""
    return [n for n, p in runs.notebooks().items() if p.name.startswith("3")]


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    """One run root for all trainings: a later link of a chain finds what it follows."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", trainings())
def test_each_training_runs_at_its_defaults_and_agrees_with_its_stored_record(full, tmp_path, links, name):
    papermill(full, tmp_path, f"papers://{name}.ipynb", "out.ipynb", root=links)
    record = json.loads(next(links.glob(f"{name.replace('/', '-')}/*/record.json")).read_text())
    stored = [r for r in runs.records(name.split("/")[0], here=False) if r["notebook"] == name]
    asked = runs.check(name, {})
    same = next(r for r in stored if r["parameters"] == asked)
    if not same["first_losses"]:  # nothing is trained there
        counted = ("items", "numbers", "texts_cut")
        assert [record["metrics"][k] for k in counted] == [same["metrics"][k] for k in counted]
        assert record["steps"] == same["steps"]
        return
    assert len(same["first_losses"]) == len(record["first_losses"]) == 20
    assert record["first_losses"] == pytest.approx(same["first_losses"], rel=1e-3)
    seeds = [r["metrics"] for r in stored if {**r["parameters"], "seed": 0} == {**asked, "seed": 0}]
    headline = next(iter(same["metrics"]))
    spread = statistics.stdev(m[headline]["value"] for m in seeds)
    assert abs(record["metrics"][headline]["value"] - same["metrics"][headline]["value"]) <= spread


def test_seeds_presets_and_mistakes_from_the_wheel(full, tmp_path):
    notebook, preset = "papers://adab2n/train.ipynb", "papers://adab2n/split-digits.yaml"
    papermill(full, tmp_path, notebook, "OUT.ipynb", "-p", "seed", "1")
    papermill(full, tmp_path, notebook, "OUT.ipynb", "-f", preset, "-p", "seed", "1")
    assert len(list((tmp_path / "runs").glob("*/*/record.json"))) == 1, "the preset asks for the same run"
    done = papermill(full, tmp_path, notebook, "OUT.ipynb", "-p", "sed", "1", check=False)
    assert done.returncode == 2 and "unknown parameter 'sed', did you mean 'seed'?" in done.stderr


@pytest.mark.parametrize("paper", runs.papers())
def test_public_names_of_a_paper_are_documented_and_complete(paper):
    package = importlib.import_module(f"papers_nb.{paper}")
    tree = ast.parse(Path(package.__file__).read_text())
    taken = [n for n in tree.body if not isinstance(n, ast.ImportFrom)]
    assert [type(n) for n in taken] == [ast.Expr, ast.Assign], (
        "a docstring, imports and __all__, nothing else"
    )
    named = {a.name: n.module for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert sorted(named) == sorted(package.__all__)
    for name, module in named.items():
        thing = getattr(package, name)
        assert thing.__module__ == module and module.startswith(f"papers_nb.{paper}."), name
        assert thing.__doc__, f"{name} says nothing"


def through_the_package(text, package):
    """Names that a module takes from a paper's package, which hides where they are defined."""
    named = {n.rpartition(".") for n in pages.imports(text, package)}
    papers = {f"papers_nb.{paper}" for paper in runs.papers()}
    return [
        name for above, _, name in named if above in papers and f"{above.split('.')[1]}/{name}" not in MODULES
    ]


MODULES = {*pages.exports()}


def test_modules_import_from_the_defining_module():
    for module in MODULES:
        file = ROOT / "papers_nb" / f"{module}.py"
        package = f"papers_nb.{module}".replace("/", ".").rpartition(".")[0]
        assert through_the_package(file.read_text(), package) == [], file


@pytest.mark.parametrize(
    "line",
    ["from . import AdaB2N", "from ..adab2n import AdaB2N, layer", "from papers_nb.adab2n import AdaB2N"],
)
def test_an_import_through_the_package_is_noticed(line):
    assert through_the_package(line, "papers_nb.adab2n") == ["AdaB2N"]
    assert through_the_package("from . import layer", "papers_nb.adab2n") == []


def test_the_plain_modules_stay_small():
    plain = [f for f in Path(ROOT, "papers_nb").glob("*.py") if f.name != "_modidx.py"]
    assert sum(len(f.read_text().splitlines()) for f in plain) < 1550
