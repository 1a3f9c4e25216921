"""Mixtures, merging, summaries and the page that shows episodes."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.data.loading.loader import Windows
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.episodes_page import COLUMNS, sheet, ticks, viewer_page
from toyshift.data.store.mixture import merge, mix, read_mixture, write_mixture
from toyshift.data.store.summary import factor_values, summarise


def other_rate(contract, hz):
    return ActionContract.from_json(contract.to_json() | {"control_hz": hz})


def test_weights(maker, tmp_path):
    a, b = maker.dataset(tmp_path / "a", range(4), 6), maker.dataset(tmp_path / "b", range(2), 4, seed=1)
    assert mix([a, b], "uniform").weights == (0.5, 0.5)
    assert mix([a, b]).weights == (24 / 32, 8 / 32)
    assert mix([a, b], "given", [1, 4]).weights == (0.2, 0.8)
    for kind, given in (
        ("given", [1.0]), ("given", [1.0, 0.0]), ("given", [1.0, float("nan")]), ("uniform", [1.0, 2.0]), ("given", [])
    ):
        with pytest.raises(ConfigError, match="weights must be 2 positive"):
            mix([a, b], kind, given)
    with pytest.raises(ConfigError, match="each once"):
        mix([a, a])


def test_the_loader_draws_from_a_mixture_file_as_from_its_datasets(maker, tmp_path):
    a, b = maker.dataset(tmp_path / "a", range(4), 6), maker.dataset(tmp_path / "b", range(2), 4, seed=1)
    write_mixture(tmp_path / "mix.json", mix([a, b], "given", [3, 1]))
    mixed, plain = Windows([tmp_path / "mix.json"], chunk=2), Windows([a, b], chunk=2, weights=[3, 1])
    assert mixed.weights == (0.75, 0.25)
    for step in (0, 7):
        indices = mixed.sampler(16, 3).batch_indices(step)
        np.testing.assert_array_equal(indices, plain.sampler(16, 3).batch_indices(step))
        np.testing.assert_array_equal(mixed.batch(indices)["action"], plain.batch(indices)["action"])
    with pytest.raises(ConfigError, match="name it alone"):
        Windows([tmp_path / "mix.json", a], chunk=2)


def test_mixed_frame_rates_and_contracts_are_refused(maker, tmp_path):
    a = maker.dataset(tmp_path / "a", range(2))
    b = maker.dataset(tmp_path / "b", range(2), actions=other_rate(maker.actions, 10.0))
    with pytest.raises(ContractError, match=r"control_hz: 20.0 in .*a, 10.0 in .*b"):
        mix([a, b])
    with pytest.raises(ContractError, match="control_hz"):
        merge([a, b], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_mixture_file_notices_what_changed(maker, tmp_path):
    a = maker.dataset(tmp_path / "a", range(2))
    write_mixture(tmp_path / "mix.json", mix([a]))
    assert read_mixture(tmp_path / "mix.json").kind == "proportional"
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="no dataset"):
        read_mixture(tmp_path / "mix.json")
    maker.dataset(tmp_path / "a", range(3))
    with pytest.raises(FileError, match="not the dataset that was mixed"):
        read_mixture(tmp_path / "mix.json")
    (tmp_path / "mix.json").write_text('{"version": 1}')
    with pytest.raises(FileError, match="no mixture file"):
        read_mixture(tmp_path / "mix.json")


def test_merging_keeps_every_frame_and_says_where_it_came_from(maker, tmp_path):
    a, b = maker.dataset(tmp_path / "a", range(2), 6), maker.dataset(tmp_path / "b", range(3), 4, seed=1)
    assert merge([a, b], tmp_path / "both")["frames"] == 24
    both = open_dataset(tmp_path / "both")
    np.testing.assert_array_equal(both.episode(3).frames["sim.state"], open_dataset(b).episode(1).frames["sim.state"])
    assert both.meta(3)["merged_from"]["dataset"] == "b"
    assert both.meta(3)["merged_from"]["episode"] == 1
    with pytest.raises(ConfigError, match="exists"):
        merge([a, b], tmp_path / "both")


def test_the_summary_counts(maker, tmp_path):
    facts = summarise(open_dataset(maker.dataset(tmp_path / "a", range(4), 6)))
    assert (facts["episodes"], facts["frames"], facts["success"]["rate"]) == (4, 24, 1.0)
    assert facts["hours"] == pytest.approx(24 / 20 / 3600)
    assert facts["objects"] == {"count": 4, "ids": {f"toy-{i}": 1 for i in range(4)}}
    assert facts["tasks"] == {"lift 0": 2, "lift 1": 2}
    assert facts["features"]["masks.front"] == {"dtype": "uint8", "shape": [8, 12]}
    json.dumps(facts)


def test_factors_are_ranges_or_counts():
    found = factor_values(
        [{"look": {"azimuth": 3.0, "table": "oak"}, "disturbed": True}, {"look": {"azimuth": -1.0, "table": "oak"}}]
    )
    assert found["look.azimuth"] == {
        "episodes": 2, "distinct": 2, "min": -1.0, "mean": 1.0, "max": 3.0, "values": {"3.0": 1, "-1.0": 1}
    }
    assert found["look.table"] == {"episodes": 2, "distinct": 1, "values": {"oak": 2}}
    assert found["disturbed"]["episodes"] == 1


def test_sheets_hold_every_frame_where_the_page_looks_for_it():
    frames = np.random.default_rng(0).integers(0, 256, (23, 4, 6, 3), dtype=np.uint8)
    whole = sheet(frames)
    assert whole.shape == (3 * 4, COLUMNS * 6, 3)
    for t in range(23):
        x, y = t % COLUMNS * 6, t // COLUMNS * 4
        np.testing.assert_array_equal(whole[y : y + 4, x : x + 6], frames[t])


@pytest.mark.parametrize(("low", "high", "labels"), [
    (-0.1, 0.0, "-0.10 -0.05 0.00"),
    (0.0, 1.0, "0.0 0.5 1.0"),
    (-0.065, 0.0077, "-0.08 -0.06 -0.04 -0.02 0.00 0.02"),  # 0 near an end is marked as well
    (-3.0, 200.0, "-100 0 100 200"),
    (0.0, 0.0, "0.0 0.5 1.0"),
])
def test_axes_are_marked_in_equal_round_steps_with_all_their_decimals(low: float, high: float, labels: str) -> None:
    marks = ticks(low, high)
    assert [label for _, label in marks] == labels.split()
    assert [float(label) for _, label in marks] == pytest.approx([value for value, _ in marks])
    assert marks[0][0] <= low <= high <= marks[-1][0]


def test_the_page_is_whole_and_needs_no_network(maker, tmp_path):
    dataset = open_dataset(maker.dataset(tmp_path / "a", range(3), 6))
    page = viewer_page(dataset, [0, 2], {2: ["empty masks: </script><b>x"]})
    assert "{{" not in page
    assert not re.search(r"(src|href)=[\"']?https?:|@import|fetch\(", page)
    scripts = []

    class Scripts(html.parser.HTMLParser):
        def handle_data(self, data):
            if self.lasttag == "script":
                scripts.append(data)

    Scripts().feed(page)
    assert "x" in scripts[0]  # the problem's text did not end the script
    data = json.loads(re.search(r"const DATA = (.*);\n", scripts[0])[1])
    assert [e["index"] for e in data["episodes"]] == [0, 2]
    view = data["episodes"][0]["views"][0]
    episode = dataset.episode(0)
    masks = np.asarray(Image.open(io.BytesIO(base64.b64decode(view["masks"].split(",")[1]))))
    np.testing.assert_array_equal(masks, sheet(episode.frames["masks.front"]))
    plot = data["episodes"][0]["plots"][0]
    np.testing.assert_allclose(plot["values"][0], episode.frames["action"][:, 0], atol=1e-5)
    assert [0.0, "0.0"] in plot["ticks"]
