"""The report opened from disk by a headless Chromium, driven by its own protocol: what it logs, asks for and prints."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.files import write_json
from toyshift.diagnostics.bench.result_file import Facts, write_result
from toyshift.diagnostics.bench.versions import TOYSHIFT_1
from toyshift.diagnostics.evaluation import PROTOCOL
from toyshift.diagnostics.reporting.page import write_report
from toyshift.diagnostics.rows import Row, write_rows
from toyshift.diagnostics.video import write_mp4
from toyshift.scripts import cli

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


class Browser:
    """One page of a running browser. `events` holds what it said, in order."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params} | self._session))
        while True:
            said = json.loads(self._socket.recv(timeout=120))
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def open(self, file: Path, width: int = 1280, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=file.as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Returns the value of an expression; a promise is waited for."""
        said = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def wait(self, condition: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.05)

    def picture(self, file: Path) -> None:
        """Writes the page's whole length."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    @property
    def complaints(self) -> list[str]:
        """What the page or the browser complained of."""
        found = []
        for event in self.events:
            told = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(str(told["args"]))
            elif event["method"] == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for, those that lie in the page itself aside."""
        asked = (e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent")
        return [url for url in asked if not url.startswith(("data:", "blob:"))]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, chromium_program: str) -> Iterator[str]:
    """Returns the address of a running browser; skips where there is none, or nothing to talk to it."""
    pytest.importorskip("websockets", reason="websockets is missing: pip install toyshift[serve]")
    log = tmp_path_factory.mktemp("chromium") / "log"
    command = [chromium_program, *ARGUMENTS, f"--user-data-dir={log.parent / 'profile'}"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            for _ in range(600):
                found = re.search(r"DevTools listening on (ws://\S+)", log.read_text(errors="replace"))
                if found or process.poll() is not None:
                    break
                time.sleep(0.1)
            assert found, f"the browser did not start: {log.read_text(errors='replace')[-2000:]}"
            yield found[1]
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    from websockets.sync.client import connect

    with connect(chromium, max_size=None) as socket:
        yield Browser(socket)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, data) -> Path:
    """Returns the report of a small run that holds something of every kind, as the command makes it."""
    run = tmp_path_factory.mktemp("run")
    shifts = ("", "camera-azimuth=1", "camera-azimuth=3", "table-texture=3")
    names = ("plain", "turned")
    rows = [
        Row(policy, "mean", "toys:test", f"toy{i % 6}", 0, i, (i * 7 + hard) % 10 < 8 - 2 * s + hard, 0.3, 50, "", "",
            0.1, shift=shift, purpose="test")
        for hard, policy in enumerate(names) for s, shift in enumerate(shifts) for i in range(24)
    ]  # fmt: skip
    facts = {"versions": {}, "command": "/somewhere/bin/toyshift evaluate --policy runs/plain", "protocol": 2}
    write_rows(run / "eval" / "rows.parquet", rows, facts)
    for name, repair in zip(names, ("", "hint"), strict=True):
        write_json(run / name / "config.json", {"train": {"repair": repair}})
        steps = [json.dumps({"step": i, "loss": 1 / (1 + i)}) for i in range(9)]
        (run / name / "metrics.jsonl").write_text("\n".join(steps))
        frames = [np.full((64, 64, 3), 8 * t, np.uint8) for t in range(30)]
        write_mp4(run / "videos" / f"{name}-toys_test-00000-toy0.mp4", frames)
    for i, card in enumerate(data.cards):
        name = f"card-{i}.json" if card.kind == "policy" else "dataset_card.json"
        write_json(run / "diagnosis" / name, card.to_json())
    for panel in data.sensitivity[:1]:
        found = {panel.result.policy: panel.result.to_json()}
        write_json(run / "diagnosis" / "sensitivity.json", {"sensitivity": found})
    study = run / "study"
    table = {"rows": [{"policy": "plain", "n": 24, "rate": 0.5, "wilson_95": [0.3, 0.7]}] * 6, "missing": ["one"]}
    write_json(study / "table.json", table)
    write_rows(study / "rows" / "one.parquet", rows[:24], facts | {"command": "toyshift study recipe"})
    assert cli.main(["report", str(run), "--no-pictures"]) == 0
    return run / "report.html"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)])
def test_a_whole_report_opens_from_disk(browser: Browser, whole_run: Path, width: int, dark: bool) -> None:
    browser.open(whole_run, width, dark)
    chapters = browser.run("[...document.querySelectorAll('section[id]')].map(section => section.id)")
    cards = {"policy-cards", "dataset-cards"}
    assert cards | {"success", "sensitivity", "shifts", "repair", "studies", "videos", "curves"} <= {*chapters}
    browser.wait("[...document.querySelectorAll('video')].every(video => video.currentTime > 0.2)")  # they play
    assert browser.run("document.querySelectorAll('video').length") == 2 + 2  # side by side, in the repair too
    assert browser.complaints == []
    assert set(browser.requests) == {whole_run.as_uri()}
    assert browser.run("document.documentElement.scrollWidth") == width  # nothing sticks out
    small = browser.run(
        "[...document.querySelectorAll('main *')].filter(e => e.childNodes.length && [...e.childNodes].some("
        "n => n.nodeType == 3 && n.data.trim()) && parseFloat(getComputedStyle(e).fontSize) < 11).length"
    )
    assert small == 0
    assert browser.run(f"({POOR_CONTRAST})()") == []


# WCAG's contrast of text with what is behind it; 4.5 is its least for small text
POOR_CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = text => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
  const poor = new Set();
  for (const e of document.querySelectorAll("main *, header *")) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || !e.offsetParent) continue;
    const [a, b] = [rgb(getComputedStyle(e).color), behind(e)].map(light).sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.add(`${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 30)}`);
  }
  return [...poor];
}"""


def column(browser: Browser, table: str, title: str) -> list[str]:
    """Returns the texts of a table's column, of the lines that are shown."""
    cells = f"#table-{table} tbody tr:not([hidden]) td[data-label={json.dumps(title)}]"
    shown = f"[...document.querySelectorAll('{cells}')]"
    texts: list[str] = browser.run(f"{shown}.map(cell => cell.dataset.sort)")
    return texts


def click(browser: Browser, table: str, title: str) -> str:
    """Clicks on a heading; returns the order that it then shows."""
    heading = f"[...document.querySelectorAll('#table-{table} th')].find(th => th.textContent == {json.dumps(title)})"
    browser.run(f"{heading}.querySelector('button').click()")
    order: str = browser.run(f"{heading}.ariaSort")
    return order


def test_tables_sort_and_filter(browser: Browser, whole_run: Path) -> None:
    browser.open(whole_run)
    before = column(browser, "shifts", "Success")
    assert before != sorted(before, key=float)
    assert click(browser, "shifts", "Success") == "ascending"
    assert column(browser, "shifts", "Success") == sorted(before, key=float)
    assert click(browser, "shifts", "Success") == "descending"
    assert column(browser, "shifts", "Success") == sorted(before, key=float, reverse=True)
    click(browser, "shifts", "Factor")
    names = column(browser, "shifts", "Factor")
    assert names == sorted(names)
    click(browser, "shifts", "Change")
    changes = column(browser, "shifts", "Change")
    figures = [float(text) for text in changes if text]
    assert figures == sorted(figures)
    assert changes[len(figures) :] == ["", ""]  # what has no value comes last
    field = "document.querySelector('#table-shifts').closest('.table').querySelector('input')"
    browser.run(f"{field}.value = 'TURNED azimuth'; {field}.dispatchEvent(new Event('input'))")
    assert column(browser, "shifts", "Factor") == ["camera-azimuth"] * 2
    assert set(column(browser, "shifts", "Policy")) == {"Turned"}
    assert browser.run(f"{field}.nextElementSibling.value") == "2 of 8 lines"
    browser.run(f"{field}.value = ''; {field}.dispatchEvent(new Event('input'))")
    assert len(column(browser, "shifts", "Factor")) == 8
    assert browser.complaints == []


def test_numbers_are_saved_from_the_page_without_a_network(browser: Browser, whole_run: Path, tmp_path: Path) -> None:
    browser.open(whole_run)
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), eventsEnabled=True)
    browser.run("document.querySelector('a[download=\"shifts.csv\"]').click()")
    end = time.monotonic() + 30
    while not (tmp_path / "shifts.csv").exists() and time.monotonic() < end:
        browser.run("0")
        time.sleep(0.1)
    lines = (tmp_path / "shifts.csv").read_text().splitlines()
    assert lines[0].startswith("policy,set,factor,level,n,rate")
    assert len(lines) == 1 + 2 * 4
    assert set(browser.requests) == {whole_run.as_uri()}


def test_it_prints_light_with_all_that_is_folded(browser: Browser, whole_run: Path) -> None:
    browser.open(whole_run, dark=True)
    folded = browser.run("document.querySelectorAll('details:not([open])').length")
    assert folded > 3
    browser.run(
        "globalThis.seen = null; addEventListener('beforeprint', () => "
        "{ seen = document.querySelectorAll('details:not([open])').length; }); 0"
    )
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 3
    assert browser.run("seen") == 0  # all were opened before it was printed
    assert browser.run("document.querySelectorAll('details:not([open])').length") == folded  # and folded again
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tools = "[...document.querySelectorAll('nav, .tools, .source a')]"
    assert browser.run(f"{tools}.every(e => getComputedStyle(e).display == 'none')")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_all_kinds_of_figures_fit_and_can_be_read(
    browser: Browser, data, tmp_path: Path, width: int, dark: bool
) -> None:
    file = write_report(data, tmp_path / "report.html")
    browser.open(file, width, dark)
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run(f"({POOR_CONTRAST})()") == []
    assert browser.complaints == []


def test_two_runs_stand_beside_each_other(browser: Browser, whole_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.html"
    other = tmp_path / "a run with a longer name"
    shutil.copytree(whole_run.parent / "eval", other / "eval")
    assert cli.main(["report", str(whole_run.parent), str(other), "--out", str(out)]) == 0
    for width in (1280, 400):
        browser.open(out, width)
        browser.wait("document.querySelectorAll('table.beside tbody tr').length == 8")  # 2 policies in 4 conditions
        cut = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
        assert width == 1280 or browser.run(cut) == 0
        assert browser.run("document.documentElement.scrollWidth") == width
    assert set(column(browser, "runs", "First run minus it")) == {"", "0.0"}  # the same rows
    assert click(browser, "runs", "Success") == "ascending"
    assert browser.complaints == []


def test_a_page_of_benchmark_results_sorts_filters_and_fits(browser: Browser, tmp_path: Path) -> None:
    """Five made-up results of ToyShift-1: the page that `toyshift bench table` makes of them."""
    for weak, policy in enumerate(("a-policy-with-a-long-name", "detpool", "attention", "mean", "random")):
        rows = [
            Row(policy, "", part.objects, f"{part.objects}-{i % 40}", TOYSHIFT_1.seed, i, i * 7 % 10 < 9 - 2 * weak,
                0.3, 30, "", "", 0.1, shift=part.shift, purpose="test", scene="clutter=4" if part.kwargs else "")
            for part in TOYSHIFT_1.parts for i in range(part.episodes)
        ]  # fmt: skip
        facts = Facts(
            name=TOYSHIFT_1.name, digest=TOYSHIFT_1.digest, policy=policy, fingerprint="", protocol=PROTOCOL,
            renderer="llvmpipe", masks="truth",
        )  # fmt: skip
        write_result(tmp_path / "results" / f"{policy}.parquet", facts, rows, {})
    page = tmp_path / "bench.html"
    assert cli.main(["bench", "table", str(tmp_path / "results"), "--out", str(page)]) == 0
    for width, dark in ((1280, False), (1280, True), (400, False), (400, True)):
        browser.open(page, width, dark)
        assert browser.run("document.documentElement.scrollWidth") == width
        assert browser.run(f"({POOR_CONTRAST})()") == []
    browser.open(page)
    rates = column(browser, "scores", "household")
    assert rates == sorted(rates, key=float, reverse=True)
    assert click(browser, "scores", "household") == "ascending"
    assert column(browser, "scores", "household") == rates[::-1]
    field = "document.querySelector('#table-verdicts').closest('.table').querySelector('input')"
    browser.run(f"{field}.value = 'detpool household'; {field}.dispatchEvent(new Event('input'))")
    assert browser.run(f"{field}.nextElementSibling.value") == "4 of 20 lines"
    assert set(column(browser, "verdicts", "on")) == {"household"}
    assert browser.complaints == []
    assert set(browser.requests) == {page.as_uri()}
