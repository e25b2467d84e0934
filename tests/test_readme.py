"""README tells the truth: its tables are made from the code and the cards, its commands work.

    python tests/test_readme.py

writes the tables anew, after a metric, a card or a sample has changed.
"""

import ast
import json
import math
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
START = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/streamlit run app.py"
TESTS = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python -m pytest"
_BLOCK = re.compile(r"(<!-- (\w+): made by tests/test_readme\.py -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def text() -> str:
    return README.read_text(encoding="utf-8")


def cards() -> list[dict]:
    files = sorted((ROOT / "deconv_core" / "models" / "zoo").glob("*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def table(*rows: list[str]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


# ----------------------------------------------------------------------------------------------- what the code knows


def metrics_table() -> str:
    from deconv_core.metrics import METRICS

    def number(value: float | None) -> str:
        if value is None:
            return "depends on the model"
        return "∞" if math.isinf(value) else f"{value:g}"

    rows = [["key", "name", "range", "better", "identical pictures", "what is good", "control"]]
    for row in METRICS.values():
        low, high = number(row.low), number(row.high)
        rows.append(
            [
                f"`{row.key}`",
                row.label + ("" if row.needs_reference else " (no reference)"),
                f"{low} to {high} {row.unit}".strip(),
                "higher" if row.higher_is_better else "lower",
                number(row.identity) if row.needs_reference else "-",
                row.good,
                f"`{row.control}`" if row.control else "none" if row.own_model else "needs no network",
            ]
        )
    return table(*rows)


def models_table() -> str:
    rows = [
        ["name", "what it is", "parameters, file", "trained on", "held-out PSNR, SSIM", "measured on other pictures"]
    ]
    for card in cards():
        validation = card["validation"]
        rows.append(
            [
                f"`{card['name']}`",
                f"{card['label']}; {'colour' if card['channels'] == 3 else 'grey'}, code of {card['code_channels']} "
                f"channels at 1/{card['stride']}, trained to {card['objective']}",
                f"{card['parameters']:,}, {card['bytes'] / 1e6:.2f} MB",
                card["trained_on"],
                f"{validation['psnr']:.2f} dB, {validation['ssim']:.4f}",
                "; ".join(f"{name}: {_measured(values)}" for name, values in card["measures"].items()) or "-",
            ]
        )
    return table(*rows)


def _measured(values: dict[str, float]) -> str:
    parts = [f"rebuilt {values['reconstruct_psnr']:.2f} dB, {values['reconstruct_ssim']:.4f}"]
    for key, after in values.items():
        if key.endswith("_after"):
            name = key.removesuffix("_after")
            parts.append(f"{name.replace('_', ' ')} {values[f'{name}_before']:.2f} to {after:.2f} dB")
    return ", ".join(parts)


def laws_table() -> str:
    """One row per score, one column per model; a cell tells the laws that are broken, by their numbers in README."""
    numbers = {"identity": 1, "monotone": 2, "blank": 3, "batch": 4, "type": 5}
    models = cards()

    def cell(law: dict | None) -> str:
        if law is None or law["passed"]:
            return "-" if law is None else "obeys all"
        broken = []
        for name, number in numbers.items():
            found = law["laws"][name]
            if found["passed"] is False:
                steps = f" (in {sum(found['inversions'].values())} of {found['compared']} steps)" if number == 2 else ""
                broken.append(f"{number}{steps}")
        return f"breaks {', '.join(broken)}"

    keys = list(dict.fromkeys(key for card in models for key in card["laws"]))
    head = ["score", *[f"`{card['name']}`" for card in models]]
    return table(head, *[[f"`{key}`", *[cell(card["laws"].get(key)) for card in models]] for key in keys])


def samples_table() -> str:
    from deconv_core.samples import SAMPLES

    return table(["sample", "licence", "from"], *[[row.label, row.licence, row.source] for row in SAMPLES.values()])


MAKERS = {"metrics": metrics_table, "laws": laws_table, "models": models_table, "samples": samples_table}


def renewed(readme: str) -> str:
    return _BLOCK.sub(lambda found: f"{found[1]}{MAKERS[found[2]]()}{found[4]}", readme)


# --------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("name", MAKERS)
def test_table_is_what_the_code_and_the_cards_say(name):
    shown = {found[2]: found[3] for found in _BLOCK.finditer(text())}
    assert sorted(shown) == sorted(MAKERS)
    assert shown[name] == MAKERS[name](), "run: python tests/test_readme.py"
    assert shown[name].count("\n") > 1


def test_the_two_commands_are_the_ones_promised():
    lines = text().splitlines()
    assert lines.count(START) == 1
    assert lines.count(TESTS) == 1
    assert "python3-venv" in text()


def test_every_metric_is_named_with_its_range_and_direction():
    from deconv_core.metrics import METRICS

    block = next(found[3] for found in _BLOCK.finditer(text()) if found[2] == "metrics")
    rows = {line.split("|")[1].strip(): line for line in block.splitlines()[2:]}
    assert len(rows) == len(METRICS)
    for key, row in METRICS.items():
        assert f" {'higher' if row.higher_is_better else 'lower'} " in rows[f"`{key}`"]
        assert "∞" in rows[f"`{key}`"].split("|")[3] or f"to {row.high:g}" in rows[f"`{key}`"]


def test_every_model_architecture_page_command_and_benchmark_is_named():
    from deconv_core.__main__ import main
    from deconv_core.models import ARCHITECTURES
    from pages.ui.frame import PAGES, PRODUCT

    readme = text()
    named = [f"`{path.stem}`" for path in (ROOT / "deconv_core" / "models" / "zoo").glob("*.keras")]
    assert named, "no models are bundled"
    named += [f"`{key}`" for key in ARCHITECTURES]
    named += [f"**{label}**" for _, label, _ in PAGES]
    named += [f"python -m deconv_core {name}" for name in main.commands]
    named += [f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py") if path.name != "peers.py"]
    assert not [name for name in named if name not in readme]
    assert readme.startswith(f"# {PRODUCT}\n")


def test_every_variable_of_the_environment_is_named():
    files = [*(ROOT / "deconv_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]
    variables = {name for file in files for name in re.findall(r"[\"'](DECONV_[A-Z_]+)[\"']", file.read_text("utf-8"))}
    assert "DECONV_HOME" in variables
    variables -= {"DECONV_JOB_FOLDER"}  # told by a process to the one it starts, not for people
    assert not [name for name in variables if name not in text()]


def test_every_file_it_names_is_there():
    named = re.findall(r"`((?:\.ci|\.streamlit|benchmarks|deconv_core|tests)/[\w./]+)`", text())
    assert len(named) > 2
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the pictures that README's examples name."""
    import numpy as np

    from deconv_core.distortions import distort
    from deconv_core.images import encode_png, to_uint8
    from deconv_core.samples import photographs

    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("references", "candidates", "photographs"):
        (tmp_path / name).mkdir()
    pictures = photographs(4, 192)
    for number, picture in enumerate(pictures):
        (tmp_path / "photographs" / f"{number}.png").write_bytes(encode_png(picture))
        (tmp_path / "references" / f"kodim{number}.png").write_bytes(encode_png(picture))
        blurred = distort(picture, "gaussian_blur", 2)
        (tmp_path / "candidates" / f"kodim{number}_blur.png").write_bytes(encode_png(blurred))
    rows = [f"candidates/kodim{number}_blur.png,references/kodim{number}.png,{5 - number}\n" for number in range(4)]
    (tmp_path / "ratings.csv").write_text("distorted,reference,mos\n" + "".join(rows))
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(to_uint8(pictures[0]))).save(tmp_path / "photo.jpg", quality=95)
    return tmp_path


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text(), re.DOTALL)


@pytest.mark.slow
def test_every_example_in_the_shell_and_in_python_works(folder, capsys):
    from click.testing import CliRunner

    from deconv_core.__main__ import main

    begin = ".venv/bin/python -m deconv_core "
    lines = [line for block in code_blocks("sh") for line in block.splitlines() if line.startswith(begin)]
    assert {shlex.split(line)[3] for line in lines} >= set(main.commands)
    for line in lines:
        result = CliRunner().invoke(main, shlex.split(line.removeprefix(begin)), catch_exceptions=False)
        assert result.exit_code == 0, f"{line}\n{result.output}"
    assert (folder / "scores.csv").read_text().count(',"ok",') == 4
    assert (folder / "scores.csv.json").exists()

    [block] = code_blocks("python")
    exec(compile(block, "README.md", "exec"), {})
    printed = ast.literal_eval(re.sub(r"array\((\[.*?\])\)", r"\1", capsys.readouterr().out))
    assert set(printed) == {"psnr", "recon_pair_psnr"}
    assert printed["psnr"][0] > 20


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    README.write_text(renewed(text()), encoding="utf-8")
