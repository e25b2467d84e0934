"""The shape of the whole: what may import what, what stays light, and what stands nowhere in the repository."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "deconv_core").rglob("*.py"))
SCREENS = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]
HEAVY = ("tensorflow", "keras", "pandas", "cv2", "scipy", "skimage", "PIL", "pyarrow", "plotly", "streamlit")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_after(code: str, *arguments: str, blocked: tuple[str, ...] = ()) -> set[str]:
    """Names of the modules loaded after `code` ran in a fresh interpreter; importing a blocked one fails there."""
    script = (
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n{code}\n"
        "import json\nprint('\\n' + json.dumps([name for name, module in sys.modules.items() if module is not None]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def imported(path: Path, *, anywhere: bool = True) -> set[str]:
    """Full names of the modules that a file imports; without `anywhere` only those at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}, line {node.lineno}: imports stand with their full names here"
            found.add(node.module)
    return found


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


# ----------------------------------------------------------------------------------------------------- who may import


def test_the_whole_core_loads_where_streamlit_is_blocked_and_without_tensorflow():
    names = [module_name(path) for path in CORE if path.name != "__main__.py"]
    # Keras layers are classes, so the files that define them need Keras at once; each says so by importing it on top.
    with_keras = {module_name(path) for path in CORE if {"keras", "tensorflow"} & roots(imported(path, anywhere=False))}
    assert with_keras <= {"deconv_core.models.article", "deconv_core.models.photo", "deconv_core.models.layers"}
    light = [name for name in names if name not in with_keras]
    code = f"import importlib\nfor name in {light!r}: importlib.import_module(name)"
    loaded = modules_after(code, blocked=("streamlit", "pages"))
    assert set(light) <= loaded
    assert not {"tensorflow", "keras"} & loaded
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    assert set(names) <= modules_after(code, blocked=("streamlit", "pages"))


def test_blocking_a_module_works():
    with pytest.raises(AssertionError, match="halted"):
        modules_after("import streamlit", blocked=("streamlit",))


def test_importing_the_core_loads_nothing_heavy():
    assert not set(HEAVY) & modules_after("import deconv_core")


def commands() -> list[list[str]]:
    from click import Group

    from deconv_core.__main__ import main

    found = [[]]
    for name, command in main.commands.items():
        found.append([name])
        if isinstance(command, Group):
            found.extend([name, inner] for inner in command.commands)
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_answers_without_loading_anything_heavy(words):
    # What takes a second is reading such libraries; the time itself depends on the machine and is no test.
    code = (
        "from deconv_core.__main__ import main\n"
        "try: main(sys.argv[1:], prog_name='deconv_core')\n"
        "except SystemExit as end: assert end.code == 0, end.code"
    )
    loaded = modules_after(code, *words, "--help")
    assert not {*HEAVY, "numpy"} & loaded


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_the_core_never_imports_a_screen(path):
    assert not {"streamlit", "pages", "app", "tests"} & roots(imported(path))


@pytest.mark.parametrize("path", SCREENS, ids=relative)
def test_screens_import_streamlit_their_own_parts_and_the_core(path):
    outside = {name for name in roots(imported(path)) if name not in sys.stdlib_module_names}
    # Arrays and tables are what the core takes and gives.
    assert outside <= {"streamlit", "pages", "deconv_core", "numpy", "pandas"}
    ours = {name for name in imported(path) if name.startswith("pages")}
    assert all(name == "pages.ui" or name.startswith("pages.ui.") for name in ours), "a page imports no other page"


def test_arrows_inside_the_core_point_one_way():
    """errors <- images <- metrics <- scoring <- training: none of them knows those after it."""
    order = ["errors", "images", "distortions", "metrics", "models", "scoring", "training"]
    # Two arrows are drawn back inside functions: a model's own measures are scores, and scores load models by name.
    known = {("models", "scoring")}
    for place, part in enumerate(order):
        files = [path for path in CORE if path.relative_to(ROOT / "deconv_core").parts[0].removesuffix(".py") == part]
        assert files, part
        for path in files:
            for name in imported(path, anywhere=False):
                target = name.split(".")[1] if name.startswith("deconv_core.") else ""
                if target in order and (part, target) not in known:
                    assert order.index(target) <= place, f"{relative(path)} imports {name}"


# --------------------------------------------------------------------------------------------------------- how it reads


def definitions(path: Path) -> list[ast.FunctionDef | ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_everything_public_in_the_core_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "the file has no docstring"
    assert not [node.name for node in definitions(path) if not ast.get_docstring(node)]


COMMAND_LINE = [
    path for path in CORE if path.name == "__main__.py" or path.parent.name == "commands"
]  # click's callbacks


@pytest.mark.parametrize("path", [path for path in CORE if path not in COMMAND_LINE], ids=relative)
def test_public_functions_of_the_core_are_typed(path):
    lacking = []
    for node in definitions(path):
        if isinstance(node, ast.ClassDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        lacking += [f"{node.name}({argument.arg})" for argument in arguments if argument.annotation is None]
        lacking += [] if node.returns else [f"{node.name} -> ?"]
    assert not lacking


# ------------------------------------------------------------------------------------------------- what is in the files


def committed() -> list[Path]:
    """The files of the repository; outside a checkout, what lies in its folders."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0 and done.stdout:
        return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    ignored = {".venv", "workspace", "__pycache__", ".git", ".pytest_cache", ".ruff_cache", ".hypothesis"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not ignored & set(path.relative_to(ROOT).parts)]


FORBIDDEN = {
    # Put together here, so that this file does not hold what it looks for.
    "a folder of one machine": re.compile(r"(?<![\w.~$}/-])/" + r"(?:work|home|root|Users|tmp)/\w"),
    "the folder beside the repository": re.compile(r"\.\./" + "shared"),
    "a key or a password": re.compile(r"AKIA" + r"[0-9A-Z]{16}|-----BEGIN [A-Z ]*" + r"PRIVATE KEY"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_mentions(what):
    found = []
    for path in committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}: {match.group()}" for match in FORBIDDEN[what].finditer(text)]
    assert not found


def test_the_searches_find_what_they_are_for():
    for what, text in (
        ("a folder of one machine", "open('" + "/work" + "/main/a.png')"),
        ("the folder beside the repository", "see .." + "/shared/DESIGN.md"),
        ("a key or a password", "AKIA" + "ABCDEFGHIJKLMNOP"),
    ):
        assert FORBIDDEN[what].search(text), what


def test_the_top_folder_holds_what_the_design_names_and_nothing_else():
    allowed = {
        *("app.py", "pages", "deconv_core", "tests", "requirements.txt", ".streamlit", "README.md", "CHANGELOG.md"),
        *("LICENSE", "pyproject.toml", ".gitignore", ".ci", "benchmarks", "Dockerfile", ".dockerignore"),
    }
    assert {path.relative_to(ROOT).parts[0] for path in committed()} <= allowed


def test_bundled_models_and_pictures_stay_small():
    sizes = {relative(path): path.stat().st_size / 2**20 for path in committed()}
    assert max(sizes.values()) <= 12
    assert sum(sizes.values()) <= 40


# -------------------------------------------------------------------------------------------------------- what it needs


def requirements() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in (line.partition("#")[0].strip() for line in lines) if line]


def test_every_requirement_is_pinned_and_installed_as_pinned():
    found = requirements()
    names = [requirement.name.lower() for requirement in found]
    assert len(set(names)) == len(names)
    for requirement in found:
        assert [pin.operator for pin in requirement.specifier] == ["=="], requirement
        assert requirement.specifier.contains(version(requirement.name)), f"{requirement} is not what is installed"


def test_everything_imported_is_required():
    package = {"PIL": "pillow", "skimage": "scikit-image", "cv2": "opencv-python-headless"}
    # Come with what is required and are pinned by it: NumPy with TensorFlow, h5py with Keras, distributed with Dask.
    brought = {"numpy", "h5py", "distributed"}
    wanted = {
        name
        for path in [*CORE, *SCREENS]
        for name in roots(imported(path))
        if name not in sys.stdlib_module_names and name not in {"deconv_core", "pages"}
    }
    missing = {package.get(name, name) for name in wanted} - {row.name.lower() for row in requirements()} - brought
    assert not missing


def test_python_versions_agree_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == ">=3.11,<3.14"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert "3.11 to 3.13" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:3\.1[123]-slim", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


def test_nothing_is_sent_home():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["browser"]["gatherUsageStats"] is False
    senders = {
        "requests",
        "httpx",
        "aiohttp",
        "urllib",
        "urllib3",
        "http",
        "socket",
        "smtplib",
        "sentry_sdk",
        "posthog",
    }
    for path in [*CORE, *SCREENS]:
        # urllib.parse takes addresses apart and opens none.
        assert not senders & roots(imported(path) - {"urllib.parse"}), relative(path)


def test_the_image_for_docker_installs_the_pins_runs_as_a_user_and_serves_the_network():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    steps = [
        line.split(maxsplit=1) for line in re.sub(r"\\\n\s*", " ", text).splitlines() if re.match(r"[A-Z]+ ", line)
    ]
    named = {word: [rest for name, rest in steps if name == word] for word, _ in steps}
    assert any("-r requirements.txt" in step for step in named["RUN"])
    assert named["USER"][-1] not in ("root", "0")
    assert "DECONV_HOME=/data" in " ".join(named["ENV"])
    # Without the variable the workspace and the home may be opened; a server on the network opens nothing by itself.
    assert "DECONV_DATA_ROOTS= " in " ".join(named["ENV"])
    assert "STREAMLIT_SERVER_ADDRESS=0.0.0.0" in " ".join(named["ENV"])
    # Or Streamlit asks the internet for its own address at every start.
    assert "STREAMLIT_BROWSER_SERVER_ADDRESS=" in " ".join(named["ENV"])
    assert "/_stcore/health" in named["HEALTHCHECK"][0]
    copied = {word for step in named["COPY"] for word in step.split() if not word.startswith("--")}
    assert {"app.py", "pages", "deconv_core", ".streamlit", "requirements.txt"} <= {word.strip("/") for word in copied}
