"""Rows over seeds: verdicts, differences, and the tables that are made of them."""

import pytest

from examine_jax.evaluation.bootstrap import Interval
from examine_jax.studies.transfer.results import COLOURS, RANDOM, SELF, TransferResult, random_of
from examine_jax.studies.transfer.rows import compared, find, gain_text, gains, rows_of, verdict
from examine_jax.studies.transfer.tables import adaptation_table, metric_table, scratch_table


def result(
    seed: int, encoder: str, use: str, value: float, share: float = 0.1, diverged: str | None = None
) -> TransferResult:
    interval = Interval(value, value - 0.1, value + 0.1, 0)
    both = (None, None) if diverged else (interval, interval)
    return TransferResult(seed, encoder, use, share, 7 + seed, *both, diverged)


def results(
    frozen: tuple[float, ...], adapted: tuple[float, ...], random: tuple[float, ...]
) -> list[TransferResult]:
    lines = {
        (COLOURS, "frozen"): (0.5, 0.5, 0.5),
        (RANDOM, "frozen"): random,
        (RANDOM, "fine_tuned"): (0.55, 0.6, 0.65),
        (random_of("lite"), "frozen"): (0.7, 0.7, 0.7),
        (SELF, "frozen"): (0.6, 0.6, 0.6),
        ("lite", "frozen"): frozen,
        ("lite", "adapted"): adapted,
    }
    return [
        result(seed, *line, values[seed]) for seed in range(3) for line, values in lines.items()
    ]


def test_rows_hold_one_value_a_seed_and_mean_ends() -> None:
    rows = rows_of(results((0.8, 0.82, 0.84), (0.7, 0.7, 0.7), (0.5, 0.52, 0.54)))
    assert len(rows) == 7
    row = find(rows, "lite", "frozen", 0.1)
    assert row is not None
    assert row.balanced_accuracy == (0.8, 0.82, 0.84)
    assert row.labels == (7, 8, 9)
    assert row.ends("auroc") == pytest.approx((0.72, 0.92))
    assert find(rows, "lite", "fine_tuned", 0.1) is None


def test_an_encoder_is_judged_by_its_own_network_untrained() -> None:
    rows = rows_of(results((0.65, 0.66, 0.67), (0.8, 0.81, 0.83), (0.5, 0.52, 0.54)))

    def judged(encoder: str, use: str) -> str:
        row = find(rows, encoder, use, 0.1)
        assert row is not None
        return verdict(row, rows)

    assert judged("lite", "frozen") == "not learned"  # above RANDOM, below its own network
    assert judged("lite", "adapted") == "learned"
    assert judged(SELF, "frozen") == "learned"
    assert judged(RANDOM, "fine_tuned") == "learned"
    for encoder in (COLOURS, RANDOM, random_of("lite")):
        assert judged(encoder, "frozen") == "control"
    one = rows_of(results((0.9,) * 3, (1.0,) * 3, (0.0,) * 3)[:7])
    row = find(one, "lite", "frozen", 0.1)
    assert row is not None
    assert verdict(row, one) == "not judged: one seed"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.1, 0.12, 0.11], "better"),
        ([-0.1, -0.12, -0.11], "worse"),
        ([0.1, -0.12, 0.11], "no clear difference"),
        ([0.0, 0.0, 0.0], "no clear difference"),
        ([0.5], "not judged: one seed"),
        ([], "not judged: one seed"),
    ],
)
def test_differences_in_words(values: list[float], said: str) -> None:
    assert compared(values) == said


def test_only_seeds_of_both_rows_are_compared() -> None:
    rows = rows_of(
        [
            result(0, "a", "frozen", 0.5),
            result(1, "a", "frozen", 0.6),
            result(1, "b", "frozen", 0.4),
        ]
    )
    assert gains(rows[0], rows[1]) == pytest.approx([0.2])
    assert gain_text([0.2, -0.1]) == "+0.050 (1 of 2)"
    assert gain_text([]) == ""


def test_tables_say_where_adaptation_was_worse_and_leave_out_what_diverged() -> None:
    found = results((0.8, 0.82, 0.84), (0.7, 0.7, 0.7), (0.5, 0.52, 0.54))
    found.append(result(0, "lite", "fine_tuned", 0.0, diverged="the loss is nan"))
    rows = rows_of(found)
    table = adaptation_table(rows)
    assert table is not None
    assert table.rows == (("lite", "adapted less frozen", "-0.120 (0 of 3), worse"),)
    metric = metric_table(rows, "balanced_accuracy")
    assert metric.header == ("encoder", "10% (7 to 9)")
    assert ("lite (frozen)", "0.820 ± 0.020 [0.720, 0.920]") in metric.rows
    assert not any("fine-tuned" in row[0] for row in metric.rows)
    scratch = scratch_table(rows)
    names = [row[:2] for row in scratch.rows]
    assert names == [
        (f"lite ({use})", other)
        for use in ("frozen", "adapted")
        for other in (f"{SELF} (frozen)", "supervised from scratch")
    ]
    assert adaptation_table([row for row in rows if row.use != "adapted"]) is None
