"""The command line: what it imports, how it answers, and how it fails."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core import workers
from toyshift.core.errors import ConfigError
from toyshift.core.fields import choices_of
from toyshift.scripts import cli
from toyshift.scripts.evaluate import row_names
from toyshift.scripts.options import Common, option_list, options_of, parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class EchoConfig(Common):
    """Options of a command that exists only here."""

    text: str = "hello"
    """What to say."""
    fail: str = ""
    """How to fail."""


def echo(cfg: EchoConfig) -> dict[str, Any]:
    """Says something."""
    if cfg.fail == "input":
        raise ConfigError("the text is wrong; try another")
    if cfg.fail == "interrupt":
        raise KeyboardInterrupt
    if cfg.fail == "bug":
        raise AssertionError("a bug")
    print("chatter")
    return {
        "text": cfg.text, "seed": cfg.seed, "path": Path("a/b"), "nan": float("nan"), "array": np.arange(3),
        "ok": cfg.fail != "check"
    }


@pytest.fixture
def with_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("toyshift_test_echo")
    module.main = echo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toyshift_test_echo", module)
    monkeypatch.setitem(cli.COMMANDS, "echo", cli.Command("toyshift_test_echo", "says something"))


def in_process(code: str) -> str:
    """Runs Python code in a fresh interpreter and returns its stdout."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


def test_no_help_imports_what_takes_long() -> None:
    """One process asks every command in turn: what one has imported would count for all after it."""
    code = """
import contextlib, io, sys
from toyshift.scripts import cli
HEAVY = set("HEAVYNAMES".split())
for name, command in cli.COMMANDS.items():
    for words in [[name], *([name, word] for word in command.words)]:
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
            cli.main([*words, "--help"])
        print(*words, "imports", *sorted(HEAVY & set(sys.modules)) if "usage: " in said.getvalue() else ["no help"])
"""
    heavy = "numpy torch mujoco gymnasium scipy trimesh pyarrow av PIL jinja2 onnxruntime pandas tqdm yaml "
    heavy += "safetensors onnx"
    told = in_process(code.replace("HEAVYNAMES", heavy)).splitlines()
    assert len(told) == sum(1 + len(command.words) for command in cli.COMMANDS.values())
    assert [line for line in told if not line.endswith(" imports")] == []


def test_top_level_help_imports_nothing_heavy() -> None:
    code = "import sys; from toyshift.scripts.cli import main; main(['--help']); "
    code += "print(sorted({m.split('.')[0] for m in sys.modules}))"
    out = in_process(code)
    loaded = set(out.splitlines()[-1].replace("'", "").strip("[]").split(", "))
    assert not loaded & {"torch", "mujoco", "numpy", "tyro", "gymnasium", "trimesh", "scipy", "pyarrow"}


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in (
        "run", "toys", "collect", "train", "evaluate", "diagnose", "augment", "serve", "export", "verify", "report",
        "doctor"
    ):
        assert f"  {name} " in text
        assert name in cli.COMMANDS


def test_no_words_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert capsys.readouterr().out.startswith("usage: toyshift")


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluat"]) == 2
    captured = capsys.readouterr()
    assert "'evaluate'" in captured.err
    assert "doctor" in captured.err
    assert not captured.out


def test_unknown_second_word_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "quickstar"]) == 2
    assert "'quickstart'" in capsys.readouterr().err


@pytest.mark.usefixtures("with_echo")
def test_json_is_the_only_thing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["echo", "--json", "--seed", "7", "--text", "hi"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "text": "hi", "seed": 7, "path": "a/b", "nan": None, "array": [0, 1, 2], "ok": True
    }
    assert captured.out.count("\n") == 1
    assert "chatter" in captured.err


@pytest.mark.usefixtures("with_echo")
def test_without_json_only_the_command_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["echo"]) == 0
    assert capsys.readouterr().out == "chatter\n"


@pytest.mark.usefixtures("with_echo")
@pytest.mark.parametrize(("fail", "code"), [("input", 2), ("interrupt", 130), ("check", 1)])
def test_exit_codes(fail: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["echo", "--fail", fail]) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("with_echo")
def test_an_error_is_one_line_and_json_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["echo", "--fail", "input", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "toyshift: the text is wrong; try another\n"
    assert json.loads(captured.out)["error"] == {"kind": "ConfigError", "message": "the text is wrong; try another"}
    monkeypatch.setenv("TOYSHIFT_DEBUG", "1")
    cli.main(["echo", "--fail", "input"])
    assert "Traceback" in capsys.readouterr().err


def test_a_warning_is_one_line_without_the_code_that_gave_it() -> None:
    code = "from toyshift.scripts import cli; import warnings; "
    code += "cli.run = lambda argv: warnings.warn('look out') or 0; cli.main(['echo'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "toyshift: warning: look out\n"


@pytest.mark.usefixtures("with_echo")
def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")

    def write(cfg: EchoConfig) -> dict[str, Any]:
        (tmp_path / "file" / "folder").mkdir(parents=True)
        return {}

    monkeypatch.setattr(sys.modules["toyshift_test_echo"], "main", write)
    assert cli.main(["echo", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert str(tmp_path / "file") in captured.err
    assert "a file where a folder is wanted" in json.loads(captured.out)["error"]["message"]


@pytest.mark.parametrize(("number", "remedy"), [
    (errno.EACCES, "where you may read and write"), (errno.ENOSPC, "make room"),
    (errno.EISDIR, "there is a folder")
])
@pytest.mark.usefixtures("with_echo")
def test_what_the_system_refuses_comes_with_a_remedy(
    number: int, remedy: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(cfg: EchoConfig) -> dict[str, Any]:
        raise OSError(number, os.strerror(number), "/place")

    monkeypatch.setattr(sys.modules["toyshift_test_echo"], "main", write)
    assert cli.main(["echo"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"toyshift: /place: {os.strerror(number)}; ")
    assert remedy in line


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["evaluate", "--policy", "random", "--policy", "nowhere"], "nowhere"),
        (["evaluate", "--policy", "random", "--objects", "toys:test?n=2", "--objects", "toyz"], "'toyz'"),
        (["collect", "--objects", "toys:train?n=2", "--image-size", "4"], "--image-size must be from 16 to 1,024"),
        (["collect", "--objects", "toys:train?n=2", "--action-mode", "eef_detla"], "'eef_delta'"),
        (["diagnose", "--policy", "oracle"], "trained policy"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_written(
    words: list[str], culprit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so")
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert culprit in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("with_echo")
def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(AssertionError, match="a bug"):
        cli.main(["echo", "--fail", "bug"])


@pytest.mark.usefixtures("with_echo")
def test_unknown_option_exits_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["echo", "--txt", "hi"]) == 2
    said = "unknown option of `toyshift echo` '--txt'. Did you mean '--text'? Available: --fail, --json, --seed, --text"
    assert capsys.readouterr().err == f"toyshift: {said}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["toys", "list"], ["toys", "show"], ["toys", "stats"], ["collect"], ["train"], ["evaluate"], ["diagnose"],
        ["augment"], ["augment", "cue"], ["serve"], ["export"], ["verify"], ["report"], ["doctor"],
        ["run", "quickstart"],
    ],
    ids=" ".join,
)
def test_every_command_has_help_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*words, "--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    assert f"usage: toyshift {' '.join(words)}" in text
    assert "\nExample: toyshift" in text
    assert "--json" in text
    assert "--seed" in text


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["evaluate", "--policy", "random", "--trials", "0"], "--trials"),
        (["collect", "--out", "x", "--episodes", "0"], "--episodes"),
        (["toys", "show", "toys:train", "--out", "x.png", "--size", "1"], "--size"),
        (["toys", "stats", "toys:train", "--seed", "-1"], "--seed"),
        (["toys", "stats", "toys:train", "--seed", "one"], "--seed"),
        (["toys", "stats"], "SET"),
        (["toys"], "list, print, show"),
        (["verify", "a", "b"], "'b'"),
        (["data", "mix", "a", "--out", "m.json", "b"], "`toyshift data mix` does not take 'b' here"),
        (["data", "mix", "--out", "m.json"], "toyshift data mix DIR DIR"),
        (["data", "mix", "a", "--out"], "--out takes a value behind it, got none"),
        (["augment", "viewpoint", "a", "b", "--azimuth", "3"], "--azimuth takes 2 values behind it, got 3;"),
        (["envs", "play", "--actor", "human"], "--actor is 'human'; it must be one of oracle, random"),
        (["train", "--data", "x", "--mirror=yes"], "--mirror takes no value behind it"),
        (["train", "--data", "x", "--lr=fast"], "--lr is 'fast'; it must be a finite number"),
        (["collect"], "--out PATH"),
        (["train", "--data", "x", "--poling", "mean"], "'--pooling'"),
        (["train", "--data", "x", "--pooling", "detpol"], "'detpool'"),
        (["train"], "no dataset was given"),
        (["diagnose"], "--policy DIR"),
        (["serve", "--policy", "x", "--port", "70000"], "--port"),
        (["evaluate", "--policy", "oracle", "--objects", "toys:train?n=2", "--masks", "os:getcwd"], "no method masks"),
        (["train", "--data", "x", "--lr", "nan"], "lr is nan; it must be a finite number"),
        (["train", "--data", "x", "--lr", "inf"], "lr is inf; it must be a finite number"),
        (["train", "--data", "x", "--lr", "-inf"], "lr is -inf; it must be a finite number"),
        (["train", "--data", "x", "--weights", "nan"], "weights is nan; it must be a finite number"),
        (["train", "--data", "x", "--minutes", "nan"], "minutes is nan; it must be a finite number"),
        (["train", "--data", "x", "--width", "1e9"], "width must be from 8 to 4,096"),
        (["train", "--data", "x", "y", "x/../x"], "data names x and x/../x, one dataset 2 times"),
        (["train", "--data", "x", "--steps", "1.5"], "--steps is '1.5'; it must be a whole number"),
        (["train", "--data", "x", "--steps", "9" * 5000], "it must be a whole number"),
        (["train", "--data", "x", "--act", "bset"], "it must be one of last, best. Did you mean 'best'?"),
        (["train", "--data", "a\udcff"], "holds bytes that are no UTF-8"),
        (["data", "convert", "\n", "new", "--to", "lerobot"], r"'\n' gives nothing but blanks"),
        (["diagnose", "--data=data", "--scale= "], "'--scale= ' gives nothing but blanks"),
        (["serve", "--policy", "oracle"], "lives in the simulator"),
        (["evaluate", "--policy", "ws://nowhere:x"], "write ws://HOST:PORT"),
        (["evaluate", "--policy", "ws://a:1", "--remote-keys", "keys.json"], "keys.json"),
    ],
)
def test_values_out_of_range_exit_with_two(words: list[str], culprit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("toyshift: ")
    assert captured.err.count("\n") == 1
    assert culprit in captured.err
    assert json.loads(captured.out)["error"]["message"] in captured.err


ASKED = {  # required, but not by type
    "evaluate": ["--policy", "oracle"], "study mask-iou": ["--tabulate"],
    "study latency": ["--tabulate"], "study shifts": ["--tabulate"],
    "masks try": ["--data", "x"], "robot check": ["--image", "front=x.png"],
}  # fmt: skip
CHOSEN = {"--factor": "table"}  # of options that take one of a few words


def commands_with(option: str) -> list[list[str]]:
    """Returns the commands that have an option, each with all that it requires."""
    found = []
    for name, command in cli.COMMANDS.items():
        for words in [[name, word] for word in command.words] or [[name]]:
            options = list(option_list(options_of(cli.find(words)[1])))
            if any(option in known.names for known in options):
                needed, numbers = [*words, *ASKED.get(" ".join(words), ())], map(str, itertools.count())
                for known in options:
                    if known.required:
                        needed += () if known.positional else known.names[:1]
                        name = known.names[0]
                        needed += [CHOSEN[name]] if name in CHOSEN else itertools.islice(numbers, known.count or 1)
                found.append(needed)
    return found


def test_more_workers_than_help_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "core_count", lambda: 3)
    commands = commands_with("--workers")
    assert {"collect", "evaluate", "run", "study", "toys", "data"} <= {words[0] for words in commands}
    for words in commands:
        name, main, rest = cli.find(words)
        assert parse(main, [*rest, "--workers", "12"], name).processes == 12
        assert parse(main, rest, name).processes == 3
        assert cli.main([*words, "--workers", "999"]) == 2
        why = "--workers is 999, but more than 4 processes for each of 3 cores only take memory: give --workers again"
        assert f"{why}, 12 at most" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["collect", "--out", "x"], ["evaluate", "--policy", "oracle"]])
def test_the_workers_of_a_cluster_are_not_this_machines(words: list[str]) -> None:
    name, main, plain = cli.find([*words, "--ray", "auto"])
    rest = [*plain, "--workers", "999"]
    assert [parse(main, some, name).processes for some in (rest, plain)] == [999, 0]  # 0: all that the cluster has
    with pytest.raises(ConfigError, match=r"--workers is 999, but more than \d processes"):
        parse(main, ["local" if word == "auto" else word for word in rest], name)


def test_arguments_after_the_words_reach_the_command() -> None:
    name, main, rest = cli.find(["toys", "show", "ycb-like", "--out", "x.png"])
    assert (name, main.__module__, rest) == ("toys show", "toyshift.scripts.toys.show", ["ycb-like", "--out", "x.png"])


@pytest.mark.parametrize(("text", "number"), [("1e3", 1000), ("2.5e1", 25), ("3.0", 3), ("1E2", 100), ("12", 12)])
def test_whole_numbers_may_be_written_with_an_exponent(text: str, number: int) -> None:
    for words in (["--episodes", text], [f"--episodes={text}"]):
        name, main, rest = cli.find(["collect", "--out", "1e3", *words])
        config = parse(main, rest, name)
        assert (config.episodes, config.out) == (number, Path("1e3"))  # a folder keeps its name


def test_negative_numbers_with_an_exponent_are_values_and_not_options() -> None:
    name, main, rest = cli.find(["augment", "viewpoint", "a", "b", "--azimuth", "-3e1", "-5.5e-1"])
    assert parse(main, rest, name).azimuth == (-30.0, -0.55)


def test_help_shows_the_choices_where_there_are_choices(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {
        "train": "--pooling --encoder --head --norm --policy-net --instruction --precision --device --normalise --act",
        "train-rl": "--algo --env --reward --pooling --device", "evaluate": "--task --purpose --until",
        "compare": "--pairing --split",
        "collect": "--task --robot --action-mode --keep --grasp-search", "data convert": "--to",
        "envs play": "--env --robot --actor --quality", "envs hub": "--env", "envs robots": "--robot --quality",
        "toys grasps": "--robot", "serve": "--device", "study lego-table": "--budget --encoder",
        "study shifts": "--budget --controls",
        "data fragment": "--factor --relevant --action-mode",
    }  # fmt: skip
    for words, names in wanted.items():
        name, main, _ = cli.find(words.split())
        options = {option.names[0]: option for option in option_list(options_of(main))}
        with pytest.raises(SystemExit):
            cli.main([*words.split(), "--help"])
        text = re.sub(r"[^\w{},./-]", "", capsys.readouterr().out)  # without frames, and lines put together
        for option in names.split():
            choices = choices_of(options[option].kind)
            assert len(choices) > 1, (name, option)
            assert re.search(rf"{option}[^{{}}]*{{(None,)?{','.join(choices)}}}", text), (name, option)


def test_negative_angles_are_values_and_not_options() -> None:
    words, main, rest = cli.find(["augment", "viewpoint", "a", "b", "--azimuth", "-30", "-5.5"])
    assert parse(main, rest, words).azimuth == (-30.0, -5.5)


def test_repeated_options_add_up() -> None:
    words, main, rest = cli.find(
        ["evaluate", "--policy", "a", "--policy", "oracle", "--objects", "ycb-like", "--objects", "ycb:/x?graspable"]
    )
    config = parse(main, rest, words)
    assert config.policy == ("a", "oracle")
    assert config.objects == ("ycb-like", "ycb:/x?graspable")


@pytest.mark.parametrize("words", [["--data", "a", "--data", "b"], ["--data=a", "--seed", "1", "--data", "b"]])
def test_an_option_of_several_values_is_not_dropped_where_it_is_given_twice(words: list[str]) -> None:
    name, main, rest = cli.find(["train", *words, "--pooling", "detpool", "--pooling", "mean"])
    with pytest.raises(ConfigError, match="--data is given 2 times"):
        parse(main, rest, name)


def test_several_values_stand_behind_one_option() -> None:
    name, main, rest = cli.find(["train", "--data", "a", "b", "--pooling", "detpool", "--pooling", "mean"])
    config = parse(main, rest, name).train
    assert config.data == ("a", "b")
    assert config.policy.pooling == "mean"  # of a single value the last one counts, as in any shell


def test_policies_with_one_folder_name_are_told_apart() -> None:
    assert row_names(["a/detpool", "b/detpool", "a/mean", "random"]) == {
        "a/detpool": "a/detpool", "b/detpool": "b/detpool", "a/mean": "mean", "random": "random"
    }


def test_every_second_word_is_a_command() -> None:
    for name, command in cli.COMMANDS.items():
        for word in command.words:
            words, main, rest = cli.find([name, word, "--seed", "1"])
            assert (words, rest) == (f"{name} {word}", ["--seed", "1"])
            assert dataclasses.is_dataclass(next(iter(typing.get_type_hints(main).values())))


@pytest.mark.parametrize("words", [["--task", "pick"], ["--env", "pick"], ["--env=pick"]])
def test_the_task_of_evaluate_still_goes_by_its_old_name(words: list[str]) -> None:
    name, main, rest = cli.find(["evaluate", "--policy", "a", *words])
    assert parse(main, rest, name).env_kwargs == {"task": "pick"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberConfig(Common, size=(1, 3)):
    size: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoreNumberConfig(NumberConfig, share=0.5):
    share: float = 1.0


def test_numbers_are_held_to_the_limits_of_their_class_and_of_its_base() -> None:
    assert (MoreNumberConfig(size=3, share=0.5).size, NumberConfig().size) == (3, 2)
    with pytest.raises(ConfigError, match="--size must be from 1 to 3, got 4"):
        MoreNumberConfig(size=4)
    with pytest.raises(ConfigError, match=r"--share must be at least 0\.5, got 0\.1"):
        MoreNumberConfig(share=0.1)
    with pytest.raises(ConfigError, match="share is nan; it must be a finite number"):
        MoreNumberConfig(share=float("nan"))
