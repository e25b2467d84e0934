"""Untidy tables of human scores, roles of their columns, and folders of known data sets, all made up here."""

from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from deconv_core.errors import DeconvError
from deconv_core.human_scores import (
    find_pictures,
    guess_roles,
    plain,
    read_scores,
    read_table,
    sheet_names,
    three_parts,
)
from deconv_core.score_layouts import LAYOUTS, read_layout, recognise


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path)
    return path


# -------------------------------------------------------------------------------------------------------------- tables

TABLES = {
    "plain.csv": "Image,MOS\na.png,5.5\nb.png,4\nc.png,\n",
    "semicolons.csv": "Image;MOS\na.png;5,5\nb.png;4,0\nc.png;\n",
    "tabs.tsv": "Image\t \tMOS\na.png\t\t5.5\nb.png\t \t4\nc.png\t\tNA\n",
    "quoted.csv": '"Image","MOS"\n"a.png","5,5"\n"b.png","4,0"\n"c.png","n/a"\n',
    "marked.csv": "\ufeffImage,MOS\r\na.png,5.5\r\nb.png,4\r\nc.png,-\r\n",
    "empty_rows.csv": "\n\nImage,MOS,,\na.png,5.5,,\n,,,\nb.png,4\n\nc.png,null\n,\n",
    "title.csv": "Scores of our study\nImage,MOS\na.png,5.5\nb.png,4\nc.png,?\n",
    "blanks.txt": "Image MOS\na.png 5.5\nb.png   4\nc.png nan\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_untidy_tables_become_the_same_table(tmp_path, name):
    frame, _ = read_table(write(tmp_path / name, TABLES[name]))
    expected = pd.DataFrame({"Image": pd.Series(["a.png", "b.png", "c.png"], dtype=object), "MOS": [5.5, 4, np.nan]})
    pd.testing.assert_frame_equal(frame, expected)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_other_encodings_are_read(tmp_path, encoding):
    frame, notes = read_table(write(tmp_path / "a.csv", "image,mos\nKüche.png,3\nb.png,2\n", encoding))
    assert frame["image"].tolist() == ["Küche.png", "b.png"]
    assert any("Windows-1252" in note for note in notes) == (encoding == "cp1252")


def test_excel_finds_sheet_header_and_columns(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "About"
    book.active.append(["Made by hand"])
    sheet = book.create_sheet("Scores")
    for row in [[], [None, "Our scores"], [], [None, "Image", "MOS"], [None, "a.png", 5.5], [None, 1600, None]]:
        sheet.append(row)
    book.create_sheet("More").append(["x", "y"])
    book.save(tmp_path / "scores.xlsx")
    frame, notes = read_table(tmp_path / "scores.xlsx")
    assert list(frame.columns) == ["Image", "MOS"]
    assert frame["Image"].tolist() == ["a.png", "1600"]
    assert notes[0] == "Read from sheet 'Scores'; not read: About, More."
    with pytest.raises(DeconvError, match="no sheet 'scores'; choose one of About, Scores, More"):
        read_table(tmp_path / "scores.xlsx", sheet="scores")


def test_parquet_is_read(tmp_path):
    frame = pd.DataFrame({"image": ["a.png", "b.png", None], "MOS": [1, 2, 3], "bytes": [b"1", b"2", b"3"]})
    frame.to_parquet(tmp_path / "a.parquet")
    read, _ = read_table(tmp_path / "a.parquet")
    assert read["MOS"].tolist() == [1, 2, 3]
    assert read["image"].tolist() == ["a.png", "b.png", None]


def test_every_repair_is_told(tmp_path):
    text = (
        "image,mos,mos,level,\na.png,5.5,1,2,\nb.png,<3,1,1,\n\nc.png,20-30,1,3,\nd.png,4,1,1,\ne.png,2,1,1,extra\n"
        "f.png,1.5,1,odd,\ng.png,2,1,1,\nh.png,2,1,1,\n"
    )
    frame, notes = read_table(write(tmp_path / "a.csv", text))
    assert list(frame.columns) == ["image", "mos", "mos_2", "level", "column_5"]
    assert frame["mos"].isna().tolist() == [False, True, True, False, False, False, False, False]
    told = " ".join(notes)
    assert "1 empty row left out" in told
    assert "'mos': 2 cells give bounds instead of a value (such as <3), left out" in told
    assert "'level': 1 cell hold no number (such as 'odd'), left out" in told
    assert "column name mos is there more than once" in told


def test_infinite_decibels_and_signs_are_numbers_and_names_stay_names(tmp_path):
    text = "image,psnr,delta,code\n1.png,inf,\u22123,1_0\n2.png,Infinity,+2e-1,0x1f\n3.png,31.5,.5,7\n"
    frame, _ = read_table(write(tmp_path / "a.csv", text))
    assert frame["psnr"].tolist() == [np.inf, np.inf, 31.5]
    assert frame["delta"].tolist() == [-3, 0.2, 0.5]
    assert frame["code"].tolist() == ["1_0", "0x1f", "7"]


def test_tables_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(DeconvError, match=r"'.*none.csv' is not there"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DeconvError, match="no known table ending"):
        read_table(write(tmp_path / "a.doc", "x"))
    with pytest.raises(DeconvError, match="is empty"):
        read_table(write(tmp_path / "a.csv", "\n \n"))
    with pytest.raises(DeconvError, match="no rows below its header"):
        read_table(write(tmp_path / "b.csv", "image,mos\n,\n"))
    with pytest.raises(DeconvError, match=r"not a readable \.xlsx"):
        read_table(write(tmp_path / "c.xlsx", "image,mos"))
    with pytest.raises(DeconvError, match="not a readable Parquet"):
        read_table(write(tmp_path / "d.parquet", "image,mos"))
    (tmp_path / "e.csv").write_bytes(b"\x00\x01\x02")
    with pytest.raises(DeconvError, match="holds no text"):
        read_table(tmp_path / "e.csv")


# --------------------------------------------------------------------------------------------------------------- roles


def test_roles_are_guessed_with_their_reasons():
    frame = pd.DataFrame(
        {
            "dis": ["wn/a_1.bmp", "wn/a_2.bmp"],
            "ref": ["refimgs/a.bmp", "refimgs/a.bmp"],
            "type": ["wn", "wn"],
            "psnr": [30.0, 24.0],
            "dmos_lo": [20.0, 30.0],
            "dmos": [22.9, np.nan],
            "dmos_hi": [25.0, 40.0],
            "DMOS_std": [1.0, 2.0],
        }
    )
    roles = guess_roles(frame)
    assert {role: found.column for role, found in roles.items()} == {
        "candidate": "dis",
        "reference": "ref",
        "mos": "dmos",
        "std": "DMOS_std",
        "distortion": "type",
        "content": "ref",
        "low": "dmos_lo",
        "high": "dmos_hi",
    }
    assert all(found.why for found in roles.values())
    told = guess_roles(frame, {"mos": "DMOS-LO", "candidate": "ref"})
    assert (told["mos"].column, told["candidate"].column) == ("dmos_lo", "ref")
    with pytest.raises(DeconvError, match="'mos' is not in the table; choose one of dis, ref"):
        guess_roles(frame, {"mos": "mos"})


def test_pictures_are_known_by_their_cells_where_names_say_nothing():
    frame = pd.DataFrame({"A": ["x.png", "x.png"], "B": ["x_1.PNG", "x_2.PNG"], "Mean MOS (0-9)": [1.0, 2.0]})
    roles = guess_roles(frame)
    assert (roles["candidate"].column, roles["reference"].column) == ("B", "A")
    assert roles["mos"].column == "Mean MOS (0-9)"
    assert "mos" not in guess_roles(pd.DataFrame({"x": [1.0], "y": [2.0]}))
    assert "mos" not in guess_roles(pd.DataFrame({"mos": ["good"]}))


def test_rows_with_only_bounds_are_counted_apart(tmp_path):
    text = "dis,dmos,dmos_lo,dmos_hi\na.bmp,20,19,21\nb.bmp,,18,30\nc.bmp,,,\nd.bmp,50,50,50\n"
    scores = read_scores(write(tmp_path / "live.csv", text))
    assert "2 of 4 rows have no score in 'dmos' and take no part; 1 of them give only bounds (dmos_lo, dmos_hi)." in (
        scores.notes
    )
    assert scores.data_set == "LIVE"


def test_content_kind_and_level_follow_from_names_that_read_so(tmp_path):
    names = [
        f"{'iI'[level % 2]}{content:02d}_{kind:02d}_{level}.bmp"
        for content in (1, 2, 3)
        for kind in (1, 12)
        for level in (1, 2)
    ]
    text = "image_name\tmos\n" + "".join(f"{name}\t{number}\n" for number, name in enumerate(names))
    scores = read_scores(write(tmp_path / "scores.tsv", text))
    frame = scores.frame
    assert frame[scores.column("content")].tolist() == ["i01"] * 4 + ["i02"] * 4 + ["i03"] * 4
    assert frame[scores.column("distortion")].tolist() == ["01", "01", "12", "12"] * 3
    assert frame[scores.column("level")].tolist() == [1, 2] * 6
    other = read_scores(write(tmp_path / "b.csv", "image,mos\nss01_1.jpg,1\nss01_2.jpg,2\nss02_1.jpg,3\n"))
    assert other.column("content") is None
    assert three_parts("photo_1.png") is None


def test_a_variance_becomes_a_deviation(tmp_path):
    scores = read_scores(write(tmp_path / "a.csv", "image,mos,var\na.png,3,0.25\nb.png,2,4\n"))
    assert scores.frame[scores.column("std")].tolist() == [0.5, 2]


def test_unknown_roles_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", "image,mos\na.png,3\n")
    with pytest.raises(DeconvError, match="role picture; choose among candidate, reference, mos"):
        read_scores(path, columns={"picture": "image"})


# ------------------------------------------------------------------------------------------------------------ pictures


def test_pictures_are_found_by_any_spelling_and_everything_left_over_is_told(tmp_path):
    for name in ("wn/Img1.BMP", "jpeg/img1.bmp", "jpeg/img2.bmp", "a/twice.png", "b/twice.png", "refs/A.bmp"):
        picture(tmp_path / name)
    text = (
        "dis,ref,mos\nWN/img1.bmp,a.bmp,1\njpeg\\img1.bmp,A.bmp,2\nimg2,a.bmp,3\ntwice.png,a.bmp,4\n"
        "gone.bmp,b.bmp,5\n,a.bmp,6\n"
    )
    scores = read_scores(write(tmp_path / "t.csv", text))
    found = find_pictures(scores)
    names = [None if path is None else path.relative_to(tmp_path).as_posix() for path in found.candidates]
    assert names == ["wn/Img1.BMP", "jpeg/img1.bmp", "jpeg/img2.bmp", None, None, None]
    assert [path.name if path else None for path in found.references] == ["A.bmp"] * 4 + [None, "A.bmp"]
    assert [(problem.candidate, problem.status) for problem in found.problems] == [
        ("twice.png", "ambiguous"),
        ("gone.bmp", "missing"),
        ("", "missing"),
        ("gone.bmp", "missing"),
    ]
    assert found.problems[0].reason == "Several files are called so: a/twice.png, b/twice.png."
    assert sorted(path.parent.name for path in found.unused) == ["a", "b"]
    assert found.summary.startswith(
        "3 of 6 pictures found, 3 of them with a reference, 1 ambiguous, 3 missing; 2 files"
    )
    table = plain(scores, found)
    assert list(table.columns) == ["reference", "candidate", "mos", "std", "distortion", "level", "direction"]
    assert table["candidate"].tolist()[0] == str(tmp_path / "wn/Img1.BMP")


def test_no_name_leads_out_of_the_folder(tmp_path):
    picture(tmp_path / "secret.png")
    picture(tmp_path / "inside" / "a.png")
    text = f"image,mos\n../secret.png,1\n{tmp_path / 'secret.png'},2\n..\\a.png,3\n"
    found = find_pictures(read_scores(write(tmp_path / "inside" / "t.csv", text)))
    assert [path.name if path else None for path in found.candidates] == [None, None, "a.png"]


def test_references_are_paired_by_name_where_the_table_names_none(tmp_path):
    for name in ("out/a_1.png", "out/b_1.png", "out/c_1.png", "true/A.png", "true/b.png", "true/B.bmp"):
        picture(tmp_path / name)
    scores = read_scores(write(tmp_path / "t.csv", "image,mos\na_1.png,1\nb_1.png,2\nc_1.png,3\n"))
    found = find_pictures(scores, tmp_path / "out", references=tmp_path / "true")
    assert [path.name if path else None for path in found.references] == ["A.png", None, None]
    assert {problem.candidate: problem.status for problem in found.problems} == {
        "b_1.png": "ambiguous",
        "c_1.png": "unpaired",
    }
    with pytest.raises(DeconvError, match="No column names the pictures"):
        find_pictures(read_scores(write(tmp_path / "u.csv", "mos,psnr\n1,2\n")))


# ------------------------------------------------------------------------------------------------------------- layouts


def make_tid(folder: Path) -> None:
    names = ["I01_01_1.bmp", "i01_01_5.bmp", "I02_24_1.bmp", "i02_24_2.bmp", "i03_01_1.bmp"]
    write(folder / "mos_with_names.txt", "".join(f"{5 + number / 10} {name}\r\n" for number, name in enumerate(names)))
    write(folder / "mos_std.txt", "0.1\n0.2\n0.3\n0.4\n0.5\n")
    for name in ("i01_01_1.bmp", "I01_01_5.BMP", "i02_24_1.bmp", "extra_1.bmp"):
        picture(folder / "distorted_images" / name)
    for name in ("I01.BMP", "i02.bmp"):
        picture(folder / "reference_images" / name)


def make_kadid(folder: Path) -> None:
    text = "dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.25\nI01_10_05.png,I01.png,1.2,0.04\n"
    write(folder / "dmos.csv", text + "I02_25_03.png,I02.png,2.5,0.01\n")
    for name in ("I01.png", "I01_01_01.png", "I01_10_05.png", "I02_25_03.png"):
        picture(folder / "images" / name)


def make_csiq(folder: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["CSIQ image database"])
    sheet = book.create_sheet("all_by_image")
    header = ["image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"]
    rows = [
        [1600, 1, "noise", 1, 0.061, 0.062],
        ["boston", 3, "jpeg 2000", 2, 0.1, 0.4],
        ["boston", 5, "blur", 5, 0.1, 0.9],
    ]
    for row in [[], ["", "", "", "DMOS values"], [], [None] * 3 + header, *([None] * 3 + row for row in rows)]:
        sheet.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    book.save(folder / "csiq.DMOS.xlsx")
    for name in ("awgn/1600.AWGN.1.png", "jpeg2000/boston.jpeg2000.2.png", "blur/boston.BLUR.5.png"):
        picture(folder / "dst_imgs" / name)
    for name in ("1600.png", "boston.png"):
        picture(folder / "src_imgs" / name)


def make_live(folder: Path) -> None:
    total = 982
    names = np.empty((1, total), dtype=object)
    for place in range(total):
        names[0, place] = "bikes.bmp" if place % 2 else "Sailing1.bmp"
    copies = np.zeros((1, total))
    copies[0, [1, 300]] = 1
    folder.mkdir(parents=True, exist_ok=True)
    scores = {"dmos_new": np.arange(total)[None], "dmos_std": np.full((1, total), 2.0), "orgs": copies}
    savemat(folder / "dmos_realigned.mat", scores)
    savemat(folder / "refnames_all.mat", {"refnames_all": names})
    for name in (
        "jp2k/img1.bmp",
        "jpeg/img1.bmp",
        "fastfading/img174.bmp",
        "refimgs/bikes.bmp",
        "refimgs/sailing1.bmp",
    ):
        picture(folder / name)


def make_koniq(folder: Path) -> None:
    header = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore\n"
    text = header + "100.jpg,0,0,25,73,7,105,3.8,0.5,76.2\n200.jpg,0,0,25,73,7,105,2.8,0.6,50\n"
    write(folder / "koniq10k_scores_and_distributions.csv", text)
    for name in ("1024x768/100.jpg", "512x384/100.jpg", "1024x768/200.jpg"):
        picture(folder / name)


def make_biq(folder: Path) -> None:
    write(folder / "Train (Images and MOS).csv", "Image Name,MOS\nss01 (1).jpg,0.7\nss02 (1).jpg,0.3\n")
    write(folder / "Test (Images and MOS).csv", "Image Name,MOS\nss03 (10).jpg,0.9\n")
    for name in ("ss01 (1).jpg", "ss03 (10).jpg"):
        picture(folder / "Images" / name)


MAKERS = {
    "tid": make_tid,
    "kadid10k": make_kadid,
    "csiq": make_csiq,
    "live": make_live,
    "koniq10k": make_koniq,
    "biq2021": make_biq,
}


def names_of(paths) -> list[str | None]:
    return [None if path is None else path.name for path in paths]


@pytest.mark.parametrize("key", LAYOUTS)
def test_layouts_are_recognised_and_give_the_same_table(tmp_path, key):
    MAKERS[key](tmp_path / "data" / "set")
    assert recognise(tmp_path / "data" / "set") is LAYOUTS[key]
    assert recognise(tmp_path / "data") is LAYOUTS[key]  # as an archive unpacks: one folder within
    scores = read_scores(tmp_path / "data" / "set")
    assert scores.direction is not None
    assert scores.direction.why
    assert len(scores.digest) == 64
    table = plain(scores, find_pictures(scores))
    assert list(table.columns) == ["reference", "candidate", "mos", "std", "distortion", "level", "direction"]
    assert table["mos"].dtype == np.float64
    assert table["candidate"].notna().any()
    assert set(table["direction"]) == {scores.direction.words}


def test_tid_is_paired_in_mixed_case_and_says_what_is_missing(tmp_path):
    make_tid(tmp_path)
    scores = read_scores(tmp_path)
    assert scores.data_set == "TID2013"
    found = find_pictures(scores)
    assert names_of(found.candidates) == ["i01_01_1.bmp", "I01_01_5.BMP", "i02_24_1.bmp", None, None]
    assert names_of(found.references) == ["I01.BMP", "I01.BMP", "i02.bmp", "i02.bmp", None]
    assert [(problem.candidate, problem.status) for problem in found.problems] == [
        ("i03_01_1.bmp", "unpaired"),
        ("i02_24_2.bmp", "missing"),
        ("i03_01_1.bmp", "missing"),
        ("i03_01_1.bmp", "missing"),
    ]
    assert names_of(found.unused) == ["extra_1.bmp"]
    frame = scores.frame
    assert frame["mos"].tolist() == [5, 5.1, 5.2, 5.3, 5.4]
    assert frame["std"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert frame["distortion"].tolist()[1:3] == ["additive Gaussian noise", "sparse sampling and reconstruction"]
    assert frame["level"].tolist() == [1, 5, 1, 2, 1]
    assert scores.direction.higher_is_better is True


def test_tid2008_is_told_from_its_kinds_and_levels(tmp_path):
    write(tmp_path / "mos_with_names.txt", "5.1 I01_01_1.bmp\n4.1 i01_17_4.bmp\n3.1 i02_17_4.bmp\n")
    assert read_scores(tmp_path).data_set == "TID2008"
    (tmp_path / "tid2013").mkdir()
    (tmp_path / "mos_with_names.txt").rename(tmp_path / "tid2013" / "mos_with_names.txt")
    assert read_scores(tmp_path / "tid2013").data_set == "TID2013"


def test_kadid_calls_its_rising_scores_dmos(tmp_path):
    make_kadid(tmp_path)
    scores = read_scores(tmp_path)
    assert scores.column("mos") == "dmos"
    assert scores.direction.higher_is_better is True
    assert scores.frame["std"].tolist() == pytest.approx([0.5, 0.2, 0.1])
    assert scores.frame["distortion"].tolist() == ["Gaussian blur", "JPEG", "contrast change"]
    assert scores.frame["level"].tolist() == [1, 5, 3]
    found = find_pictures(scores)
    assert names_of(found.references) == ["I01.png", "I01.png", None]
    assert [problem.status for problem in found.problems] == ["missing"]


def test_csiq_names_are_put_together_from_its_table(tmp_path):
    make_csiq(tmp_path)
    scores = read_scores(tmp_path)
    found = find_pictures(scores)
    assert names_of(found.candidates) == ["1600.AWGN.1.png", "boston.jpeg2000.2.png", "boston.BLUR.5.png"]
    assert names_of(found.references) == ["1600.png", "boston.png", "boston.png"]
    assert scores.frame["dmos"].tolist() == [0.062, 0.4, 0.9]
    assert scores.direction.higher_is_better is False
    assert found.problems == found.unused == ()


def test_live_leaves_out_undistorted_copies(tmp_path):
    make_live(tmp_path)
    scores = read_scores(tmp_path)
    frame = scores.frame
    assert len(frame) == 980
    assert frame["candidate"].tolist()[0] == "jp2k/img1.bmp"
    assert frame["candidate"].tolist()[-1] == "fastfading/img174.bmp"
    jpeg = frame[frame["candidate"] == "jpeg/img1.bmp"].iloc[0]
    assert (jpeg["dmos"], jpeg["std"], jpeg["reference"]) == (227, 2, "refimgs/bikes.bmp")
    assert "2 undistorted copies" in scores.notes[0]
    found = find_pictures(scores)
    assert found.candidates[0] == tmp_path / "jp2k/img1.bmp"
    assert found.references[0] == tmp_path / "refimgs/sailing1.bmp"
    (tmp_path / "refnames_all.mat").unlink()
    with pytest.raises(DeconvError, match=r"refnames_all\.mat is not"):
        read_layout(tmp_path)


def test_koniq_takes_the_larger_pictures(tmp_path):
    make_koniq(tmp_path)
    scores = read_scores(tmp_path)
    assert scores.frame["mos"].tolist() == [3.8, 2.8]
    assert scores.frame["std"].tolist() == [0.5, 0.6]
    assert [path.parent.name for path in find_pictures(scores).candidates] == ["1024x768", "1024x768"]


def test_biq_joins_both_halves(tmp_path):
    make_biq(tmp_path)
    scores = read_scores(tmp_path)
    assert scores.frame["subset"].tolist() == ["train", "train", "test"]
    found = find_pictures(scores)
    assert names_of(found.candidates) == ["ss01 (1).jpg", None, "ss03 (10).jpg"]
    (tmp_path / "Test (Images and MOS).csv").unlink()
    assert "the other half" in " ".join(read_scores(tmp_path).notes)


def test_a_folder_without_a_known_layout_is_refused_with_what_is_known(tmp_path):
    picture(tmp_path / "a.png")
    assert recognise(tmp_path) is None
    with pytest.raises(DeconvError, match=r"no known layout.*mos_with_names.txt.*csiq.DMOS.xlsx"):
        read_scores(tmp_path)


def test_a_role_can_be_denied(tmp_path):
    (tmp_path / "scores.csv").write_text("image,source,mos\na.png,r.png,1\nb.png,r.png,2\n")
    assert read_scores(tmp_path / "scores.csv").column("reference") == "source"
    denied = read_scores(tmp_path / "scores.csv", columns={"reference": "-"})
    assert denied.column("reference") is None
    assert denied.column("candidate") == "image"


def test_sheets_are_named_and_nothing_else_has_any(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "first"
    book.create_sheet("second")
    book.save(tmp_path / "book.xlsx")
    assert sheet_names(tmp_path / "book.xlsx") == ["first", "second"]
    (tmp_path / "no.xlsx").write_bytes(b"PK")
    (tmp_path / "scores.csv").write_text("mos\n1\n")
    assert sheet_names(tmp_path / "no.xlsx") == sheet_names(tmp_path / "scores.csv") == []


def test_kinds_of_a_known_data_set_are_told_in_words(tmp_path):
    lines = ["image,mos"] + [f"i{content:02d}_{kind:02d}_1.bmp,{kind}" for content in (1, 2) for kind in (1, 8, 24)]
    (tmp_path / "tid2013.csv").write_text("\n".join(lines))
    (tmp_path / "own.csv").write_text("\n".join(lines))
    kinds = ["additive Gaussian noise", "Gaussian blur", "sparse sampling and reconstruction"]
    assert read_scores(tmp_path / "tid2013.csv").frame["distortion"].tolist() == 2 * kinds
    assert read_scores(tmp_path / "own.csv").frame["distortion"].tolist() == 2 * ["01", "08", "24"]
