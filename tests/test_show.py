"""`refdiff samplers` and `refdiff schedule` as a user meets them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refdiff.cli import main
from refdiff.diffusion import samplers
from refdiff.loading import shipped

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(capsys: Capture, *argv: str) -> str:
    assert main(list(argv)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: Capture, *argv: str) -> str:
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("refdiff: ") and err.count("\n") == 1
    return err


def test_every_sampler_is_listed(capsys: Capture) -> None:
    lines = printed(capsys, "samplers").splitlines()
    assert lines[0].split() == ["name", "order", "noise", "calls", "class", "good", "for"]
    assert [line.split()[0] for line in lines[1:]] == list(samplers.names())
    told = json.loads(printed(capsys, "samplers", "--json"))
    by_name = {t["name"]: t for t in told}
    assert by_name["euler"]["noise"] == "no" and by_name["euler_a"]["noise"] == "yes"
    assert by_name["euler"]["calls"] == "1" and "timestep_spacing" in by_name["ddim"]["options"]


def test_the_table_is_the_plan(capsys: Capture) -> None:
    lines = printed(capsys, "schedule", "--steps", "4").splitlines()
    assert lines[1].split() == ["i", "t", "beta", "alpha_bar", "snr", "sigma"]
    sampler = samplers.from_config(json.loads((shipped_config()).read_text()))
    plan = sampler.plan(4)
    rows = [list(map(float, line.split())) for line in lines[2:6]]
    for i, row in enumerate(rows):
        t = int(plan.rows[i].t)
        alpha_bar = sampler.schedule.alphas_cumprod[t]
        expected = [i, t, sampler.schedule.betas[t], alpha_bar]
        expected += [alpha_bar / (1 - alpha_bar), ((1 - alpha_bar) / alpha_bar) ** 0.5]
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def shipped_config() -> Path:
    return shipped() / "scheduler" / "scheduler_config.json"


def test_a_config_may_be_a_file_or_a_folder(capsys: Capture) -> None:
    tables = {
        printed(capsys, "schedule", *config).partition("\n")[2]
        for config in (
            (),
            ("--config", str(shipped())),
            ("--config", str(shipped() / "scheduler")),
            ("--config", str(shipped_config())),
        )
    }
    assert len(tables) == 1


def test_two_configs_are_compared(capsys: Capture) -> None:
    config = json.loads(shipped_config().read_text())
    Path("same.json").write_text(json.dumps(config))
    Path("other.json").write_text(json.dumps(config | {"timestep_spacing": "trailing"}))
    out = printed(capsys, "schedule", "--compare", "same.json")
    assert out.splitlines()[-1] == "the plans are equal in every time and sigma"
    out = printed(capsys, "schedule", "--compare", "other.json", "--steps", "5")
    assert out.splitlines()[-1] == "the plans part in row 0: t is 801 and 999"
    out = printed(capsys, "schedule", "--sampler", "euler", "--compare", "other.json", "--json")
    plans = json.loads(out)
    assert [len(p["plan"]["sigma"]) for p in plans] == [25, 25]
    assert len(plans[0]["schedule"]["beta"]) == 1000


def test_the_picture(capsys: Capture) -> None:
    out = printed(capsys, "schedule", "--steps", "6", "--plot", "plan.png")
    assert out.splitlines()[-1] == "plan.png"
    image = np.asarray(Image.open("plan.png").convert("RGB"), int)
    assert image.shape == (760, 1120, 3)
    dots = (np.abs(image - [0xD5, 0x5E, 0x00]).sum(axis=2) < 40).sum()
    assert dots > 4 * 6 * 15  # four panels of six dots


def test_options_change_the_plan(capsys: Capture) -> None:
    euler = ("schedule", "--sampler", "euler", "--steps", "7", "--json")
    plain = json.loads(printed(capsys, *euler))[0]["plan"]["sigma"]
    respaced = json.loads(printed(capsys, *euler, "--sampler-option", "use_karras_sigmas=true"))
    roots = np.diff(np.array(respaced[0]["plan"]["sigma"]) ** (1 / 7))
    np.testing.assert_allclose(roots, roots[0], rtol=1e-4)
    assert respaced[0]["plan"]["sigma"] != plain


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--config", "nowhere.json"], "nowhere.json"),
        (["--sampler", "eueler"], "eueler"),
        (["--sampler-option", "etaa=0.5"], "etaa"),
        (["--sampler-option", "eta=NaN"], "eta"),
        (["--sampler-option", "eta=much"], "eta"),
        (["--steps", "0"], "steps"),
        (["--steps", "1001"], "steps"),
        (["--plot", "no/such/folder.png"], "folder"),
        (["--compare", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_shown_gets_one_sentence(
    argv: list[str], word: str, capsys: Capture
) -> None:
    assert word in refused(capsys, "schedule", *argv)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("text", ["eta", "=1", ""])
def test_an_option_without_a_value_is_a_usage_error(text: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        main(["schedule", "--sampler-option", text])
    assert left.value.code == 2 and "KEY=VALUE" in capsys.readouterr().err
