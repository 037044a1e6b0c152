from __future__ import annotations

from xml.etree import ElementTree

from fine_tuning.loss_curve import LossPoint, curve_svg, write_curve


def test_the_table_has_a_row_per_point_and_leaves_unmeasured_cells_empty(tmp_path):
    write_curve([LossPoint(25, 2.5), LossPoint(50, 1.25, 1.5)], tmp_path)
    rows = (tmp_path / "loss.csv").read_text("utf-8").splitlines()
    assert rows == ["step,loss,validation_loss", "25,2.5000,", "50,1.2500,1.5000"]


def test_the_picture_is_well_formed_and_falls_when_the_loss_falls():
    root = ElementTree.fromstring(curve_svg([LossPoint(1, 4.0), LossPoint(2, 1.0, 1.5)]))
    lines = [e.get("points", "") for e in root.iter() if e.tag.endswith("polyline")]
    heights = [float(point.split(",")[1]) for point in lines[0].split()]
    assert len(lines) == 2
    assert heights[0] < heights[1]


def test_no_points_are_a_picture_too():
    ElementTree.fromstring(curve_svg([]))
