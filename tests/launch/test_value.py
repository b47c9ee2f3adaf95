"""The valuation job and its command: what they write, and what they refuse before they write."""

import csv
import pathlib
from typing import Any

import numpy as np
import pytest

from examine_jax.jobs.value.page import write_values
from examine_jax.labelled.labelled_rows import LabelledRows, as_text
from examine_jax.labelled.tables import read_column
from examine_jax.valuation import ValueSettings, value_features
from tests.support.commands import run_each, run_here

GENERATOR = np.random.default_rng(0)
FEATURES = GENERATOR.normal(size=(24, 4)).astype(np.float32)
LABELS = np.where(np.arange(24) % 2, "tumour", "normal")
FEATURES[:, 0] += np.where(LABELS == "tumour", 2, 0)


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("value")
    np.save(folder / "f.npy", FEATURES)
    lines = [f'"<b>{row}</b>.png",{label},p{row // 2}' for row, label in enumerate(LABELS)]
    (folder / "l.csv").write_text("\n".join(["image,label,group", *lines]) + "\n")
    (folder / "f.names.csv").write_text(
        "image\n" + "".join(f"<b>{row}</b>.png\n" for row in range(24))
    )
    return folder


def test_every_row_gets_a_value_by_folds_and_a_page(folder: pathlib.Path) -> None:
    flags = [
        f"--features={folder / 'f.npy'}",
        f"--labels={folder / 'l.csv'}",
        f"--workdir={folder / 'out'}",
    ]
    flags += [
        "--valuers=examine,loo,tmc_shapley,knn_shapley,random",
        "--permutations=2",
        "--folds=2",
        "--device=cpu",
    ]
    code, errors = run_here("value", *flags)
    assert code == 0, errors
    records = _read(folder / "out" / "values.csv")
    assert list(records[0]) == [
        "image",
        "index",
        "examine",
        "loo",
        "tmc_shapley",
        "knn_shapley",
        "random",
    ]
    assert [int(record["index"]) for record in records] == list(range(24))
    assert records[3]["image"] == "<b>3</b>.png"
    assert np.isfinite([float(record["tmc_shapley"]) for record in records]).all()
    assert list(_read(folder / "out" / "standard_errors.csv")[0]) == [
        "image",
        "index",
        "tmc_shapley",
    ]
    page = (folder / "out" / "values.html").read_text()
    assert "&lt;b&gt;3&lt;/b&gt;.png" in page
    assert "<b>3" not in page


REFUSED = [
    (["--features={}/f.npy", "--workdir={}/x"], "need labels"),
    (["--features={}/f.npy", "--workdir={}/x", "--valuers=shap"], "unknown valuer 'shap'"),
    (["--features={}/f.npy", "--workdir={}/x", "--valuers=help"], "label-free: examine"),
    (["--features={}/f.npy", "--images={}", "--workdir={}/x"], "--features=FILE, or --images"),
]


def test_an_error_is_one_line_and_nothing_is_written(folder: pathlib.Path) -> None:
    answers = run_each("value", [[flag.format(folder) for flag in flags] for flags, _ in REFUSED])
    for (flags, reason), (code, errors) in zip(REFUSED, answers):
        assert code == 1, flags
        lines = [line for line in errors.splitlines() if not line.startswith("device:")]
        assert len(lines) == 1, errors
        assert lines[0].startswith("examine-value: ")
        assert reason in lines[0]
    assert not (folder / "x" / "values.csv").exists()


def _with(**changes: Any) -> LabelledRows:
    return LabelledRows(**{"features": FEATURES, "labels": LABELS, **changes})


@pytest.mark.parametrize(
    ("rows", "settings", "validation", "reason"),
    [
        (_with(labels=np.where(np.arange(24) == 5, "", LABELS)), {}, None, "missing for row 5"),
        (_with(labels=np.where(np.arange(24) == 5, np.nan, 1.0)), {}, None, "missing for row 5"),
        (_with(labels=np.full(24, "normal")), {}, None, "all rows have the label 'normal'"),
        (_with(labels=np.arange(24)), {}, None, "24 classes for 24 rows"),
        (
            _with(labels=np.where(np.arange(24) == 5, "rare", LABELS)),
            {},
            None,
            "classes rare have one row each",
        ),
        (_with(groups=np.zeros(24, int)), {}, None, "all rows are of one group"),
        (
            _with(groups=np.where(np.arange(24) == 7, "", "a")),
            {},
            None,
            "groups are missing for row 7",
        ),
        (
            _with(groups=np.arange(24)),
            {},
            _with(groups=np.arange(23, 47)),
            r"groups 23 \(1 in all\)",
        ),
        (_with(), {}, _with(features=FEATURES[:, :3]), "3 columns, the assessed 4"),
        (_with(), {}, _with(labels=None), "validation set needs labels"),
        (
            _with(),
            {},
            _with(labels=np.where(np.arange(24) == 5, "new", LABELS)),
            "classes new are in the validation set alone",
        ),
        (
            _with(labels=np.where(np.arange(24) < 2, "new", LABELS)),
            {},
            _with(),
            "classes new are in the assessed set alone",
        ),
        (_with(labels=np.where(np.arange(24) == 5, None, LABELS)), {}, None, "missing for row 5"),
        (_with(), {"permutations": 10**9}, None, r"tmc_shapley: \d+ hours.*--yes"),
        (_with(), {"valuers": ("sharpness",)}, None, "sharpness need images"),
        (
            _with(labels=np.where(np.arange(24) == 5, "rare", LABELS)),
            {"valuers": ("loo", "data_oob")},
            _with(labels=np.where(np.arange(24) < 3, "rare", LABELS)),
            "classes rare have one row each: data_oob",
        ),
        (
            LabelledRows(np.zeros((20_001, 1), np.float32), np.arange(20_001) % 2),
            {"valuers": ("loo", "facility_location")},
            None,
            "facility_location hold all pairs of rows and take 20,000 rows at most",
        ),
    ],
)
def test_bad_input_is_refused_before_any_work(
    tmp_path: pathlib.Path,
    rows: LabelledRows,
    settings: dict[str, Any],
    validation: LabelledRows | None,
    reason: str,
) -> None:
    chosen = ValueSettings(**{"valuers": ("loo", "tmc_shapley"), **settings})
    with pytest.raises(ValueError, match=reason):
        value_features(rows, tmp_path, chosen, validation=validation)
    assert not list(tmp_path.iterdir())


def test_shared_groups_are_allowed_on_request_and_constant_features_are_noted(
    tmp_path: pathlib.Path,
) -> None:
    rows = _with(features=np.ones_like(FEATURES), groups=np.arange(24))
    settings = ValueSettings(
        valuers=("knn_shapley", "examine", "leverage"), allow_shared_groups=True
    )
    found = value_features(rows, tmp_path, settings, validation=rows)
    assert np.ptp(found.valuations["leverage"].values) == 0
    assert any("constant" in warning for warning in found.warnings)
    assert any("copies" in warning for warning in found.warnings)


def test_folds_keep_groups_whole_and_a_second_call_resumes(tmp_path: pathlib.Path) -> None:
    rows = _with(groups=np.arange(24) // 2)
    settings = ValueSettings(valuers=("tmc_shapley", "data_oob"), permutations=2, bags=32, folds=2)
    reported: list[str] = []
    first = value_features(
        rows,
        tmp_path,
        settings,
        on_progress=lambda name, done, of: reported.append(f"{name} {done}/{of}"),
    )
    assert {"tmc_shapley 2/4", "tmc_shapley 4/4", "data_oob 32/32"} <= set(reported)
    states = {path: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    again = value_features(rows, tmp_path, settings)
    for name, valuation in first.valuations.items():
        np.testing.assert_array_equal(valuation.values, again.valuations[name].values)
    assert {path: path.read_bytes() for path in (tmp_path / "state").iterdir()} == states
    page = write_values(
        tmp_path, again, settings, names=None, source="f.npy", validation="by folds", device="cpu"
    )
    assert page.is_file()


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        (np.array([1000001.0, 1000002.0, 3.0]), ["1000001", "1000002", "3"]),
        (np.array([1234567, 1234568, 3]), ["1234567", "1234568", "3"]),
        (np.array(["1000001.0", " 007 ", "3"]), ["1000001", "007", "3"]),
        (np.array([0.1, 2.5, -1.0], np.float32), ["0.1", "2.5", "-1"]),
        (np.array([True, False, True]), ["True", "False", "True"]),
    ],
)
def test_labels_and_groups_keep_every_digit_and_are_the_same_in_every_form(
    labels: Any, texts: list[str]
) -> None:
    assert as_text(labels, None, "labels").tolist() == texts


def test_unknown_groups_and_fewer_folds_are_noted(tmp_path: pathlib.Path) -> None:
    known, unknown = _with(groups=np.arange(24)), _with()
    settings = ValueSettings(valuers=("knn_shapley",), folds=20)
    for rows, validation, note in (
        (known, unknown, "Groups are known of the assessed set alone"),
        (unknown, known, "Groups are known of the validation set alone"),
        (unknown, None, "12 folds in place of 20"),
    ):
        found = value_features(rows, tmp_path, settings, validation=validation)
        assert any(warning.startswith(note) for warning in found.warnings), found.warnings


def test_results_are_kept_and_computed_again_for_other_data(tmp_path: pathlib.Path) -> None:
    settings = ValueSettings(valuers=("loo",), folds=2)
    first = value_features(_with(), tmp_path, settings)
    reported: list[str] = []
    again = value_features(
        _with(), tmp_path, settings, on_progress=lambda name, *_: reported.append(name)
    )
    assert not reported
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.valuations["loo"].values, first.valuations["loo"].values)
    other = value_features(_with(features=FEATURES[::-1].copy()), tmp_path, settings)
    assert not np.array_equal(other.valuations["loo"].values, first.valuations["loo"].values)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label\na\nb\n", "2 lines for 3 rows"),
        ("class\na\nb\nc\n", "the column 'label' is absent.*--label_column"),
        ("index,label\n0,a\n0,b\n", "line 3: a second row for '0'"),
        ("index,label\n7,a\n", "index '7' is none of 0 to 2"),
        ("image,label\nx,a\n", "names none of the images"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: pathlib.Path, text: str, reason: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    names = ("a.png", "b.png", "c.png") if "image" in text else None
    with pytest.raises(ValueError, match=reason):
        read_column(tmp_path / "l.csv", 3, "label", names)


def test_labels_are_matched_by_name_and_by_index(tmp_path: pathlib.Path) -> None:
    (tmp_path / "l.csv").write_text("image,label\nc,3\nelse,9\na,1\n")
    assert read_column(tmp_path / "l.csv", 3, "label", ("a", "b", "c")).tolist() == ["1", "", "3"]
    (tmp_path / "l.csv").write_text("index,label\n2,3\n0,1\n1,2\n")
    assert read_column(tmp_path / "l.csv", 3, "label").tolist() == ["1", "2", "3"]
    np.save(tmp_path / "l.npy", np.array(["a", "b"], object), allow_pickle=True)
    with pytest.raises(ValueError, match="no readable"):
        read_column(tmp_path / "l.npy", 2, "label")
