from __future__ import annotations

import pytest
from fine_tuning.training.loss_curve import LossPoint, write_curve
from PIL import Image


def test_the_table_has_a_row_per_point_and_leaves_unmeasured_cells_empty(tmp_path):
    write_curve([LossPoint(25, 2.5), LossPoint(50, 1.25, 1.5)], tmp_path)
    rows = (tmp_path / "loss.csv").read_text("utf-8").splitlines()
    assert rows == ["step,loss,validation_loss", "25,2.5000,", "50,1.2500,1.5000"]


@pytest.mark.parametrize("points", [[], [LossPoint(1, 4.0), LossPoint(2, 1.0, 1.5)]])
def test_the_picture_is_a_picture_with_and_without_points(tmp_path, points):
    write_curve(points, tmp_path)
    with Image.open(tmp_path / "loss_curve.png") as picture:
        assert picture.size == (800, 400)
