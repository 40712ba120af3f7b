"""A small kit, written once."""

from pathlib import Path

import pytest

from refdiff.verify.kit.write import write_kit


@pytest.fixture(scope="session")
def ops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors of single ops."""
    folder = tmp_path_factory.mktemp("kit") / "ops"
    write_kit(folder, "ops/*")
    return folder


@pytest.fixture(scope="session")
def ddim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors of one sampler."""
    folder = tmp_path_factory.mktemp("kit") / "ddim"
    write_kit(folder, "samplers/ddim/*")
    return folder
