"""Least squares that grows by a volume, against least squares of all volumes so far."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from rtbids.analysis.design import Design, Model
from rtbids.analysis.glm import Glm
from rtbids.analysis.rank import rank
from rtbids.bids.events import Event, Events
from rtbids.errors import BadData

VOXELS = 25


def names(design: np.ndarray) -> tuple[str, ...]:
    return tuple(f"x{place}" for place in range(design.shape[1]))


def random_design(count: int = 80, columns: int = 13) -> np.ndarray:
    design = np.random.default_rng(0).normal(size=(count, columns))
    design[:, -1] = 1
    return design


def late_column() -> np.ndarray:
    design = random_design(columns=6)
    design[:40, 2] = 0
    return design


def repeated_rows() -> np.ndarray:
    design = random_design(columns=6)
    design[5] = design[4]
    design[20:23] = design[19]
    return design


def neurofeedback_design() -> np.ndarray:
    blocks = Events(tuple(Event(29.55 + 39.4 * n, 19.7, "regulate") for n in range(7)))
    made = Design(Model(motion=6), blocks, 1.97, 150)
    steps = np.random.default_rng(0).normal(size=(150, 6)) * [0.01, 0.01, 0.01, 1e-4, 1e-4, 1e-4]
    return np.array([made.row(index, pose) for index, pose in enumerate(steps.cumsum(axis=0))])


def series(count: int) -> np.ndarray:
    return 1000 + 10 * np.random.default_rng(1).normal(size=(count, VOXELS))


def batch(design: np.ndarray, values: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Betas and t by the textbook, in the widest floating point there is."""
    scale = np.linalg.norm(design, axis=0)
    x, y = (design / scale).astype(np.longdouble), values.astype(np.longdouble)
    q, r = np.zeros_like(x), np.zeros((x.shape[1],) * 2, np.longdouble)
    for j in range(x.shape[1]):  # Gram-Schmidt, twice: NumPy's factorisations are of double precision alone
        q[:, j] = x[:, j]
        for _ in range(2):
            parts = q[:, :j].T @ q[:, j]
            r[:j, j] += parts
            q[:, j] -= q[:, :j] @ parts
        r[j, j] = np.sqrt(q[:, j] @ q[:, j])
        q[:, j] /= r[j, j]
    betas = back_substituted(r, q.T @ y)
    w = back_substituted(r[::-1, ::-1].T, (k / scale)[::-1, None])[::-1, 0]
    residual = ((y - x @ betas) ** 2).sum(axis=0) / (len(x) - x.shape[1])
    return betas / scale[:, None], ((k / scale) @ betas) / np.sqrt(residual * (w @ w))


def back_substituted(r: np.ndarray, b: np.ndarray) -> np.ndarray:
    x = np.zeros(b.shape, np.longdouble)
    for j in range(len(r) - 1, -1, -1):
        x[j] = (b[j] - r[j, j + 1 :] @ x[j + 1 :]) / r[j, j]
    return x


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    ("make", "first"),
    [(random_design, 14), (late_column, 6), (repeated_rows, 6), (lambda: random_design(columns=1), 2)],
    ids=["random", "late onset", "repeated rows", "one column"],
)
def test_betas_and_t_equal_least_squares_at_every_volume(make, first):
    design = make()
    values, glm = series(len(design)), Glm(names(design), VOXELS)
    for n, (row, voxels) in enumerate(zip(design, values, strict=True), start=1):
        glm.add(row, voxels)
        assert (glm.undefined is None) == (n >= first)
        if n < first:
            assert np.isnan(glm.beta).all()
            assert np.isnan(glm.t({"x0": 1})).all()
            continue
        kept = [place for place, name in enumerate(glm.columns) if name not in glm.left_out]
        assert len(kept) == np.linalg.matrix_rank(design[:n])
        usual = np.linalg.lstsq(design[:n][:, kept], values[:n], rcond=None)[0]
        betas, t = batch(design[:n][:, kept], values[:n], np.eye(len(kept))[0])
        # The promise is 1e-10; what these designs lose to rounding is 1e-12.
        assert relative(glm.beta[kept], usual) < 1e-10
        assert relative(glm.beta[kept], betas) < 1e-10
        if any("sum" in why for why in glm.left_out.values()):  # six volumes of which two are the same, for six columns
            assert np.isnan(glm.t({"x0": 1})).all()
        else:
            assert relative(glm.t({"x0": 1}), t) < 1e-10


def test_the_neurofeedback_design_is_as_exact_as_its_columns_are_distinct():
    """Over its first volumes slow cosines are all but straight lines: a condition number of 1e10, whoever computes."""
    design = neurofeedback_design()
    values, glm = series(len(design)), Glm(names(design), VOXELS)
    loose = 0
    for n, (row, voxels) in enumerate(zip(design, values, strict=True), start=1):
        glm.add(row, voxels)
        if glm.undefined:
            continue
        kept = [place for place, name in enumerate(glm.columns) if name not in glm.left_out]
        own = design[:n][:, kept]
        scale = np.linalg.norm(own, axis=0)
        betas, t = batch(own, values[:n], np.eye(len(kept))[0])
        usual = np.linalg.lstsq(own / scale, values[:n], rcond=None)[0]
        off = relative(glm.beta[kept] * scale[:, None], betas * scale[:, None])
        # The factor is for luck: of two roundings of one system either may come out nearer to the truth.
        assert off <= max(1e-10, 10 * relative(usual, betas * scale[:, None]))
        if 0 in kept and n > 50:
            assert relative(glm.beta[0], betas[0]) < 1e-10
            assert relative(glm.t({"x0": 1}), t) < 1e-10
        loose += off > 1e-10
    assert loose < 50


def test_a_contrast_of_several_columns_has_its_effect_and_its_t():
    design, values = random_design(), series(80)
    glm = Glm(names(design), VOXELS)
    for row, voxels in zip(design, values, strict=True):
        glm.add(row, voxels)
    k = np.zeros(13)
    k[[0, 1, 2]] = 1, -0.5, -0.5
    betas, t = batch(design, values, k)
    found = glm.estimate({"x0": 1, "x1": -0.5, "x2": -0.5, "x3": 0})
    assert found.degrees_of_freedom == 80 - 13
    assert found.reason is None
    assert relative(found.effect, k @ betas) < 1e-10
    assert relative(found.t, t) < 1e-10


def test_nothing_is_said_before_there_are_more_volumes_than_columns():
    design, values = random_design(columns=3), series(4)
    glm = Glm(names(design), VOXELS)
    for row, voxels in zip(design[:3], values, strict=False):
        glm.add(row, voxels)
    found = glm.estimate({"x0": 1})
    assert found.reason == "3 volumes do not determine 3 columns"
    assert np.isnan(found.effect).all()
    assert np.isnan(glm.residual_squares).all()


def singular() -> tuple[Glm, np.ndarray, np.ndarray]:
    """face + house + rest is the constant, and the scene has not begun."""
    rng = np.random.default_rng(2)
    turns = np.eye(3)[np.arange(60) // 5 % 3]
    design = np.column_stack([turns, np.zeros(60), np.ones(60), rng.normal(size=60)])
    values = series(60)
    glm = Glm(("face", "house", "blank", "scene", "constant", "trans_x"), VOXELS)
    for row, voxels in zip(design, values, strict=True):
        glm.add(row, voxels)
    return glm, design, values


NEVER, SUM = "scene is 0 in every volume so far", "constant is a sum of face and house and blank"


def test_a_singular_design_names_the_columns_that_are_left_out():
    glm, design, values = singular()
    assert glm.left_out == {"scene": "0 in every volume so far", "constant": "a sum of face and house and blank"}
    assert glm.degrees_of_freedom == 60 - 4
    assert np.isnan(glm.beta[[3, 4]]).all()
    usual = np.linalg.lstsq(design[:, [0, 1, 2, 5]], values, rcond=None)[0]
    assert relative(glm.beta[[0, 1, 2, 5]], usual) < 1e-10
    residual = values - design[:, [0, 1, 2, 5]] @ usual
    assert relative(glm.residual_squares, (residual**2).sum(axis=0)) < 1e-10


def test_a_contrast_that_a_singular_design_determines_is_exact():
    glm, design, values = singular()
    k = np.array([1.0, -1.0, 0.0, 0.0])
    effect, t = batch(design[:, [0, 1, 2, 5]], values, k)[0], batch(design[:, [0, 1, 2, 5]], values, k)[1]
    assert relative(glm.estimate({"face": 1, "house": -1}).effect, k @ effect) < 1e-10
    assert relative(glm.t({"face": 1, "house": -1}), t) < 1e-10
    # face and the constant together are estimable, each of them alone is not: the minimum-norm solution agrees.
    shortest = np.linalg.pinv(design) @ values
    found = glm.estimate({"face": 1, "constant": 1})
    assert found.reason is None
    assert relative(found.effect, shortest[0] + shortest[4]) < 1e-10


@pytest.mark.parametrize(
    ("contrast", "why"),
    [
        ({"face": 1}, [SUM]),
        ({"constant": 1}, [SUM]),
        ({"scene": 1}, [NEVER]),
        ({"face": 1, "house": -1, "scene": -1}, [NEVER]),
        ({"face": 1, "scene": -1}, [NEVER, SUM]),
    ],
)
def test_a_contrast_that_a_singular_design_leaves_open_is_not_a_number_with_its_reasons_alone(contrast, why):
    found = singular()[0].estimate(contrast)
    assert np.isnan(found.t).all()
    assert np.isnan(found.effect).all()
    assert found.reason == f"the contrast cannot be estimated: {'; '.join(why)}"


def test_a_sum_of_columns_is_still_known_after_a_thousand_volumes():
    rng = np.random.default_rng(3)
    design = rng.normal(size=(1000, 6)) * [1, 1, 1, 1e-9, 1, 1]
    design[:, 2], design[:, 4] = 1, 1e6 + design[:, 4]
    design[:, 5] = design[:, 0] - 3 * design[:, 2]
    glm = Glm(names(design), 1)
    for row in design:
        glm.add(row, np.zeros(1))
        if glm.count > 6 and glm.count % 10 == 0:
            assert glm.left_out == {"x5": "a sum of x0 and x2"}


def test_the_factors_of_a_singular_matrix_give_its_kept_columns_back():
    matrix = np.triu(np.random.default_rng(0).normal(size=(5, 5)))
    matrix[:, 2], matrix[:, 3] = matrix[:, 0] * 2, 0
    found = rank(matrix)
    assert found.kept == [0, 1, 4]
    np.testing.assert_allclose(found.q @ found.r, matrix[:, found.kept], atol=1e-14)
    np.testing.assert_allclose(found.sums[2], [2, 0, 0], atol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_voxel_that_is_no_number_touches_no_other(bad):
    design, values = random_design(columns=4), series(30)
    clean, dirty = Glm(names(design), VOXELS), Glm(names(design), VOXELS)
    for n in range(30):
        clean.add(design[n], values[n])
        values[n, 3] = bad if n == 10 else values[n, 3]
        dirty.add(design[n], values[n])
    others = np.arange(VOXELS) != 3
    for found, expected in ((dirty.beta, clean.beta), (dirty.t({"x0": 1}), clean.t({"x0": 1}))):
        np.testing.assert_array_equal(found[..., others], expected[..., others])
        assert np.isnan(found[..., 3]).all()


@pytest.mark.parametrize("level", [0.0, 1.0, 1234.567, 3e7])
def test_a_constant_voxel_has_no_t_and_touches_no_other(level):
    design, values = random_design(columns=4), series(60)
    values[:, 3] = level
    glm = Glm(names(design), VOXELS)
    for row, voxels in zip(design, values, strict=False):
        glm.add(row, voxels)
    t = glm.t({"x0": 1})
    assert np.isnan(t[3])
    assert np.isfinite(np.delete(t, 3)).all()
    assert glm.residual_mean_squares[3] == 0


def test_a_row_that_is_no_number_is_skipped_with_one_warning(caplog):
    design, values = random_design(columns=4), series(30)
    whole, gappy = Glm(names(design), VOXELS), Glm(names(design), VOXELS)
    for n in range(30):
        if n in (7, 8):
            assert not gappy.add(np.array([1, np.nan, 1, 1]), values[n])
        else:
            assert whole.add(design[n], values[n])
            assert gappy.add(design[n], values[n])
    np.testing.assert_array_equal(gappy.beta, whole.beta)
    assert (gappy.count, gappy.skipped) == (28, 2)
    assert [record.message for record in caplog.records] == [
        "after 7 volumes x1 of the design is no number: such volumes are left out of it"
    ]


def test_neither_row_nor_voxels_are_changed():
    row, values = np.arange(1.0, 5.0), series(1)[0]
    before = row.copy(), values.copy()
    Glm(("a", "b", "c", "d"), VOXELS).add(row, values)
    np.testing.assert_array_equal(row, before[0])
    np.testing.assert_array_equal(values, before[1])


THREADS = """
import hashlib
import numpy as np
from rtbids.analysis.glm import Glm
rng = np.random.default_rng(0)
glm = Glm([f"x{n}" for n in range(13)], 20_000)
for _ in range(20):
    glm.add(rng.normal(size=13), rng.normal(size=20_000))
print(hashlib.sha256(glm.beta.tobytes() + glm.t({"x0": 1.0}).tobytes()).hexdigest())
"""


def test_the_last_bit_does_not_depend_on_how_many_threads_there_are():
    """A replay, on the same machine or another, gives the live values bit for bit."""
    found = set()
    for count in ("1", "2", "4"):
        limits = {"OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        command = [sys.executable, "-c", THREADS]
        found.add(subprocess.run(command, env={**os.environ, **limits}, capture_output=True, check=True).stdout)
    assert len(found) == 1


def test_what_does_not_fit_the_design_is_refused():
    glm = Glm(("a", "b"), 3)
    with pytest.raises(BadData, match="expects 2 columns and 3 voxels"):
        glm.add(np.ones(2), np.ones(4))
    with pytest.raises(BadData, match="no column 'c'; there are: a, b"):
        glm.estimate({"c": 1})
    with pytest.raises(ValueError, match="names of their own"):
        Glm(("a", "a"), 3)
