"""What was measured in another way, or nobody knows how, is not taken for what is measured today."""

import json
from pathlib import Path

import numpy as np
import pytest

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.drift import compare_audits
from deconv_core.audit.measure import RECIPE
from deconv_core.audit.parts import MEASURED, PartWriter, list_parts, read_parts
from deconv_core.audit.recipes import difference, read_begun, recipes, recipes_of
from deconv_core.audit.reference import percentile
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.images import encode_png
from deconv_core.samples import photographs


@pytest.fixture
def job(tmp_path, monkeypatch) -> Path:
    """A finished audit of ten photographs."""
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    (tmp_path / "data").mkdir()
    for number, pixels in enumerate(photographs(10, 48)):
        (tmp_path / "data" / f"{number}.png").write_bytes(encode_png(pixels))
    run_audit(AuditSettings(str(tmp_path / "data")), tmp_path / "job")
    return tmp_path / "job"


def forget_recipes(folder: Path) -> AuditTable:
    """The audit as the oldest versions left it."""
    path = folder / "results" / "summary.json"
    summary = json.loads(path.read_text())
    del summary["recipes"]
    path.write_text(json.dumps(summary))
    (folder / "results" / "recipes.json").unlink()
    return AuditTable(folder)


def test_recipes_that_nobody_wrote_down_are_not_those_of_today(job):
    written = recipes_of(AuditTable(job))
    older = forget_recipes(job)
    known = recipes_of(older)
    assert known["dark"]["rule"] == CHECKS["dark"].rule
    for name in (*older.checks, "brightness", "contrast"):
        assert difference(name, written, written) == ""
        assert "by which version" in difference(name, known, written)
        assert difference(name, known, known)
    value = float(older.numbers["dark"].iloc[0])
    assert np.isfinite(percentile("dark", value, written["dark"]))
    assert np.isnan(percentile("dark", value, known["dark"]))


def test_of_an_audit_without_recipes_only_sizes_are_compared(job):
    present = AuditTable(job)
    found = compare_audits(forget_recipes(job), present)
    assert set(found.columns["column"]) == {"width", "height", "bytes"}
    [told] = [told for told in found.left_out if "“Dark”" in told]
    assert "“Mean brightness”, “Spread of brightness” are left out" in told
    assert "since the audits and not the pictures would differ" in told


def test_an_audit_at_work_has_the_recipes_by_which_it_began(job):
    written = recipes_of(AuditTable(job))
    (job / "results" / "images.parquet").unlink()
    assert recipes_of(AuditTable(job)) == written
    begun = job / "results" / "recipes.json"
    begun.write_text(begun.read_text().replace(RECIPE, "measured 1"))
    assert "measurement measured 1 in the first" in difference("dark", recipes_of(AuditTable(job)), written)
    begun.write_text("[]")
    assert "by which version" in difference("dark", recipes_of(AuditTable(job)), written)


def test_what_an_earlier_version_measured_is_not_read_once_the_audit_goes_on(job):
    results = job / "results"
    (results / "images.parquet").unlink()
    rows = read_parts(results, MEASURED).to_pylist()
    for path in list_parts(results, MEASURED):
        path.unlink()
    by = read_begun(results)
    (results / "recipes.json").unlink()
    writer = PartWriter(results, MEASURED, "measured 1")
    writer.add([row | {"dark": 1.0} for row in rows])
    writer.flush()
    older = AuditTable(job)
    assert older.numbers["dark"].eq(1).all()
    (results / "recipes.json").write_text(json.dumps(by))  # it is resumed by today's version
    assert AuditTable(job, older).count == 0
    writer = PartWriter(results, MEASURED, RECIPE)
    writer.add(rows[:4])
    writer.flush()
    found = AuditTable(job, older)
    assert found.count == 4
    assert found.numbers["dark"].gt(1).all()


def test_the_version_of_the_models_part_is_in_its_recipes():
    present = recipes(("dark", "reconstruction", "low_quality"))
    assert "model_version" not in present["dark"]
    for key in ("reconstruction", "low_quality"):
        older = {key: present[key] | {"model_version": 1}}
        assert "version of the model's part 1 in the first" in difference(key, older, present)
