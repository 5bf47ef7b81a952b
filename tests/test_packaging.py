"""The house around the code: dependencies in step, nothing heavy at import, no stray addresses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import minirnn

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INSTALLED_EXTRAS = ("convert", "lab", "test", "lint", "mpi", "site", "tensorboard")
EXTRAS = PROJECT["optional-dependencies"]
REFERENCES = [*EXTRAS["reference"], *EXTRAS["imagenet"], "torchvision", "stardist"]

# In two parts, so that this file does not name them.
REGISTRIES = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("anaconda", "com"),
        ("prefix", "dev"),
        ("npmjs", "org"),
        ("download.pytorch", "org/whl"),
        ("pypi", "nvidia"),
    ]
]


def requirement(text: str) -> tuple[str, str]:
    """ "NumPy>=2.1" → ("numpy", "2.1"); no bound is ""."""
    name, _, bound = text.strip().partition(">=")
    name = re.sub(r"\[.*\]", "", name)
    return re.sub(r"[-_.]+", "-", name).lower().strip(), bound.strip()


def from_pyproject() -> dict[str, str]:
    listed = list(PROJECT["dependencies"])
    for extra in INSTALLED_EXTRAS:
        listed += PROJECT["optional-dependencies"][extra]
    return dict(map(requirement, listed))


def from_environment() -> dict[str, str]:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    listed = text.partition("dependencies:")[2]
    return dict(map(requirement, re.findall(r"^  - ([^:\s]+)$", listed, flags=re.MULTILINE)))


def from_constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin), f"not a pin: {pin}"
    return {requirement(name)[0]: version for name, version in (pin.split("==") for pin in pins)}


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def tracked_files() -> list[Path]:
    """Files that a commit would hold: tracked, or new and not ignored."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip("not a git repository")
    files = [ROOT / name for name in done.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def test_environment_yml_and_pyproject_name_the_same_packages_and_bounds():
    environment = from_environment()
    assert environment.pop("python") == PROJECT["requires-python"].removeprefix(">=")
    assert environment.pop("pip") == ""
    assert environment == from_pyproject()


def test_constraints_cover_every_direct_dependency_within_its_bound():
    pins = from_constraints()
    for name, bound in from_pyproject().items():
        assert name in pins, f"{name} is not in constraints.txt"
        assert version_of(pins[name]) >= version_of(bound), name
    for text in REFERENCES:
        assert re.split("[<>=]", text)[0] in pins, f"{text} is not in constraints.txt"
    assert "minirnn" not in pins


def test_constraints_cover_what_the_dependencies_need():
    """Walks the installed metadata from the direct dependencies down."""
    pins, waiting = from_constraints(), list(from_pyproject())
    seen, absent = set(waiting), []
    while waiting:
        package = waiting.pop()
        try:
            needs = metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            absent.append(package)
            continue
        for line in needs:
            name, _, marker = line.partition(";")
            name = requirement(re.split(r"[<>=!~ (]", name)[0])[0]
            if name in seen or "extra ==" in marker:
                continue
            seen.add(name)
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                continue  # for another system or another Python
            assert name in pins, f"{name} is not in constraints.txt"
            waiting.append(name)
    assert len(seen) > len(from_pyproject()) + 20  # the walk did go down
    if absent:
        pytest.skip(f"an environment older than pyproject.toml: {', '.join(absent)} is missing")


def test_cupy_is_an_extra_for_each_cuda_version():
    extras = PROJECT["optional-dependencies"]
    assert requirement(extras["cuda12"][0])[0] == "cupy-cuda12x"
    assert requirement(extras["cuda13"][0])[0] == "cupy-cuda13x"
    assert not [name for name in from_pyproject() if name.startswith("cupy")]


def test_no_file_names_a_package_registry():
    files = tracked_files()
    assert ROOT / "pyproject.toml" in files
    for file in files:
        content = file.read_bytes().decode("utf-8", errors="replace").lower()
        for host in REGISTRIES:
            assert host not in content, f"{file.relative_to(ROOT)} names {host}"


def test_version_is_said_once():
    assert minirnn.__version__ == PROJECT["version"]
    assert metadata.version("minirnn") == PROJECT["version"]


def test_type_hints_and_templates_are_shipped():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    shipped = data["setuptools"]["package-data"]["minirnn"]
    assert "py.typed" in shipped
    assert (ROOT / "minirnn" / "py.typed").is_file()
    package = ROOT / "minirnn"
    covered = {file for pattern in shipped for file in package.glob(pattern)}
    others = {
        file
        for file in package.rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and "__pycache__" not in file.parts
    }
    assert others <= covered, f"not shipped: {others - covered}"


def test_every_package_folder_has_an_init():
    for file in (ROOT / "minirnn").rglob("*.py"):
        assert (file.parent / "__init__.py").is_file(), file.parent


# What `import minirnn` and `minirnn --help` leave to those who need it.
HEAVY = ("cupy", "matplotlib", "scipy", "pycocotools", "PIL", "jinja2", "tqdm", "IPython", "torch")


def seconds_to(code: str) -> float:
    """Processor time, the shortest of five: what it takes where nobody else wants the machine."""
    timed = f"import time; start = time.process_time()\n{code}\nprint(time.process_time() - start)"
    runs = [
        subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    return min(float(run.stdout.splitlines()[-1]) for run in runs)


def loaded_by(code: str, names: tuple[str, ...]) -> list[str]:
    code = f"{code}\nimport sys; print(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_import_is_quick_and_loads_nothing_heavy():
    assert seconds_to("import minirnn") < 0.5
    assert loaded_by("import minirnn", (*HEAVY, "click")) == []


def test_modules_that_compute_load_nothing_that_draws():
    code = "import minirnn; minirnn.build_model"
    assert loaded_by(code, ("cupy", "matplotlib", "click", "jinja2", "IPython", "torch")) == []


def test_unknown_names_of_the_package_are_attribute_errors():
    with pytest.raises(AttributeError, match="build_modle"):
        _ = minirnn.build_modle
    assert set(minirnn.__all__) == {"__version__", "build_model", "load_weights"}


def test_ci_runs_what_the_makefile_offers():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    run = re.findall(r"^section make (\w+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert run == [*("env", "lint", "test", "notebooks", "site", "references", "verify", "parity")]
    for target in [*run, "demo", "help", "clean"]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
