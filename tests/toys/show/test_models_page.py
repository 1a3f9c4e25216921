"""The page of models: what is packed comes out again, nothing is loaded elsewhere, a browser shows it, turns it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toyshift.toys.model import GraspObject, RestPose, VisualMesh
from toyshift.toys.random_toys.primitives import Primitive
from toyshift.toys.random_toys.toy import Toy, toy_object
from toyshift.toys.show.models_page import MAX_FACES, object_entry, object_parts, packed, viewer_page

ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def a_toy(colour: str = "red") -> GraspObject:
    return toy_object(
        Toy((Primitive("cuboid", (0.03, 0.05, 0.09)), Primitive("sphere", (0.025,), (0.0, 0.03, 0.03))), colour),
        "toys:<test>",
    )


def data_of(page: str) -> Any:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_packed_surface_is_within_half_a_step() -> None:
    vertices = np.random.default_rng(0).uniform(-0.1, 0.2, (500, 3))
    faces = np.arange(498).reshape(-1, 3)
    part = packed(vertices, faces, (1.0, 0.0, 0.0, 1.0))
    steps = np.frombuffer(base64.b64decode(part["positions"]), dtype="<u2").reshape(-1, 3)
    back = np.array(part["low"]) + steps / 65535 * np.array(part["size"])
    assert np.abs(back - vertices).max() < 0.3 / 65535
    assert (np.frombuffer(base64.b64decode(part["faces"]), dtype="<u2").reshape(-1, 3) == faces).all()


def test_large_surfaces_are_decimated() -> None:
    import trimesh

    ball = trimesh.creation.icosphere(5, 0.04)
    assert len(ball.faces) > 2 * MAX_FACES
    part = object_parts(dataclasses.replace(a_toy(), mesh=ball))[0]
    assert len(base64.b64decode(part["faces"])) <= 6 * (MAX_FACES + 10)


def test_texture_is_in_the_page() -> None:
    toy = a_toy()
    corners = np.asarray(toy.mesh.triangles, dtype=np.float32).reshape(-1, 3)
    visual = VisualMesh(
        corners,
        np.arange(len(corners), dtype=np.int32).reshape(-1, 3),
        np.zeros((len(corners), 2), np.float32),
        np.full((2000, 1000, 3), (10, 200, 30), np.uint8),
    )
    part = object_parts(dataclasses.replace(toy, visual=visual))[0]
    image = Image.open(io.BytesIO(base64.b64decode(part["texture"].split(",")[1])))
    assert image.size == (256, 512)
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - (10, 200, 30)).max() < 6


def test_page_is_self_contained_and_escapes_names() -> None:
    page = viewer_page("toys <&>", [a_toy(), a_toy("blue")])
    assert "<title>toys &lt;&amp;&gt;</title>" in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "http://" not in page
    assert "https://" not in page
    rows = data_of(page)
    assert [row["facts"]["source"] for row in rows] == ["toys:<test>"] * 2
    assert rows[0]["facts"]["mass"] == f"{a_toy().mass * 1000:.0f} g"


def test_things_open_standing() -> None:
    toy, on_its_head = a_toy(), (0.0, 1.0, 0.0, 0.0)
    seen = VisualMesh(np.asarray(toy.mesh.vertices, np.float32), np.asarray(toy.mesh.faces, np.int32))
    poses = (RestPose(on_its_head, 0.1, 0.9, 0.05), RestPose((1.0, 0.0, 0.0, 0.0), 0.0, 0.1, 0.05))
    thing = dataclasses.replace(toy, visual=seen, rest_poses=poses)
    assert object_entry(thing)["quat"] == [1.0, 0.0, 0.0, 0.0]
    assert object_entry(dataclasses.replace(toy, rest_poses=poses))["quat"] == list(on_its_head)  # a toy has no top


LOOK = """<script>setTimeout(() => {
  const drawn = o => o.thumb.getContext("2d").getImageData(0, 0, 112, 112).data.some(v => v);
  const cut = e => e.scrollWidth > e.clientWidth || getComputedStyle(e).textOverflow === "ellipsis";
  document.title = JSON.stringify({
    drawn: objects.filter(drawn).length, kept: objects.filter(o => o.loaded).length,
    cut: [...document.querySelectorAll("#list b, #list small, #facts dd")].filter(cut).length,
  });
}, 5000);</script></body>"""


def test_browser_draws_every_thumbnail_and_cuts_no_size(tmp_path: Path, chromium_program: str) -> None:
    toys = [dataclasses.replace(a_toy(colour), id=f"{i:03}_a_name_of_some_length", name="a toy whose name is long")
            for i, colour in enumerate(("red", "blue", "green", "yellow") * 8)]  # more than a window shows  # fmt: skip
    file = tmp_path / "toys.html"
    file.write_text(viewer_page("toys", toys).replace("</body>", LOOK), encoding="utf-8")
    how = ["--headless", "--window-size=1280,800", "--virtual-time-budget=8000", "--dump-dom"]
    command = [chromium_program, *ARGUMENTS, *how, file.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = re.search("<title>(.*?)</title>", ended.stdout)
    assert found
    assert json.loads(found[1]) == {"drawn": 32, "kept": 1, "cut": 0}


def picture(page: Any) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.asarray(Image.open(io.BytesIO(page.locator("#view").screenshot())).convert("RGB"), dtype=np.int16)


@pytest.mark.parametrize(("width", "height"), [(1200, 800), (390, 800)], ids=["laptop", "phone"])
def test_browser_shows_a_model_that_turns(
    tmp_path: Path, chromium_path: str | None, width: int, height: int
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install playwright")
    file = tmp_path / "toys.html"
    file.write_text(viewer_page("toys", [a_toy(), a_toy("blue")]), encoding="utf-8")
    complaints: list[str] = []
    requests: list[str] = []
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        except sync_api.Error as error:
            pytest.skip(
                f"no Chromium to run (apt install chromium, or playwright install chromium): {error}".splitlines()[0]
            )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_timeout(600)
        first = picture(page)
        box = page.locator("#view").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2 + 120, box["y"] + box["height"] / 2 + 40, steps=4)
        page.mouse.up()
        page.wait_for_timeout(300)
        turned = picture(page)
        page.locator("#list button").nth(1).click()
        page.wait_for_timeout(300)
        other = picture(page)
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(300)
        keyed = picture(page)
        page.locator("#search").fill("no such toy")
        left = page.locator("#list li:visible").count()
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    red, blue = first[..., 0] - first[..., 2] > 60, other[..., 2] - other[..., 0] > 60
    assert red.mean() > 0.02  # the toy is there ...
    assert blue.mean() > 0.02
    assert not red[:, 0].any()  # ... and not cut off
    assert not red[:, -1].any()
    assert (np.abs(turned - first).max(axis=2) > 30).mean() > 0.01
    assert (np.abs(keyed - other).max(axis=2) > 30).mean() > 0.002
    assert left == 0
