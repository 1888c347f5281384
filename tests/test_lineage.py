"""What was made from what: recorded once, kept where it is told, had again with its digests, merged and tested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import Stack
from tasks.adapter import base_of
from tasks.data_source import open_source
from tasks.dataset import read_dataset
from tasks.durable import folder_files, folder_sha256
from tasks.storage import MARKER, fetch, fetched_model, keep, output_folder
from tests.deployed import ended, finished, start
from tests.training_fixtures import write_rows
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.configs import FinetuneConfig, MergeConfig
from tuneyard.errors import BadInput, WorkFailed
from tuneyard.shapes import Artifact, Job

LORA = {"method": "lora", "batch_size": 4, "max_steps": 3, "checkpoint_every": None, "precision": "fp32"}


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEYARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(params=["file", "memory"])
def place(
    request: pytest.FixtureRequest, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A URL under which results are kept."""
    url = f"file://{tmp_path}/far" if request.param == "file" else f"memory://{tmp_path.name}"
    monkeypatch.setenv("TUNEYARD_ARTIFACTS", url)
    return url


def made(job_id: str = "job-1") -> tuple[Path, str]:
    """A result as a trainer leaves it: its folder and its digest."""
    folder = output_folder(job_id)
    (folder / "deep").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "deep" / "config.json").write_text("{}")
    return folder, folder_sha256(folder)[0]


def kept(job_id: str = "job-1") -> tuple[str, str]:
    folder, sha256 = made(job_id)
    return keep(folder, sha256, folder_files(folder), print), sha256


def opened(uri: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(uri)
    return system, str(path)


def test_results_lie_in_the_home_or_in_the_folder_that_is_named(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output_folder("j") == own_home / "artifacts" / "j"
    monkeypatch.setenv("TUNEYARD_ARTIFACTS", str(tmp_path / "disk"))
    folder, sha256 = made()
    assert folder == tmp_path / "disk" / "job-1"
    assert keep(folder, sha256, folder_files(folder), print) == str(folder)
    assert folder.is_dir()


def test_a_result_is_kept_under_a_url_and_had_again_whole(place: str) -> None:
    uri, sha256 = kept()
    assert uri == f"{place}/job-1"
    assert not output_folder("job-1").exists()
    assert folder_sha256(fetched_model(sha256))[0] == sha256  # this host need not fetch what it made
    shutil.rmtree(fetched_model(sha256))
    assert fetch(uri, sha256, print) == fetched_model(sha256)
    assert folder_sha256(fetched_model(sha256))[0] == sha256


def test_a_kept_result_that_was_changed_is_not_taken(place: str) -> None:
    uri, sha256 = kept()
    shutil.rmtree(fetched_model(sha256))
    system, path = opened(uri)
    system.pipe_file(f"{path}/model.safetensors", b"w3ights")
    with pytest.raises(BadInput, match="another digest"):
        fetch(uri, sha256, print)
    assert not fetched_model(sha256).exists()
    with pytest.raises(BadInput, match="not what was recorded"):
        fetch(uri, "0" * 64, print)


def test_a_half_stored_result_is_not_there(place: str) -> None:
    uri, sha256 = kept()
    shutil.rmtree(fetched_model(sha256))
    system, path = opened(uri)
    system.rm_file(f"{path}/{MARKER}")
    with pytest.raises(BadInput, match="not there, or not whole"):
        fetch(uri, sha256, print)


def test_a_store_that_is_away_fails_the_job_and_keeps_the_result(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TUNEYARD_ARTIFACTS", f"file://{tmp_path}/file")
    folder, sha256 = made()
    with pytest.raises(WorkFailed, match="could not be stored") as failure:
        keep(folder, sha256, folder_files(folder), print)
    assert str(folder) in str(failure.value)
    assert folder_sha256(folder)[0] == sha256


def test_no_password_stands_in_a_result_s_uri(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEYARD_ARTIFACTS", "s3://user:hush@bucket/x")
    with pytest.raises(BadInput, match="TUNEYARD_ARTIFACTS") as refusal:
        output_folder("j")
    assert "hush" not in str(refusal.value)


def test_an_adapter_s_base_is_found_among_the_fetched_models(own_home: Path, tmp_path: Path) -> None:
    adapter, facts = tmp_path / "adapter", {"config": {"model": "artifact:01BASE"}, "sha256": {"model": "ab"}}
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/gone"}))
    (adapter / "training.json").write_text(json.dumps(facts))
    with pytest.raises(BadInput, match="artifact:01BASE is not at /gone"):
        base_of(adapter)
    fetched_model("ab").mkdir(parents=True)
    assert base_of(adapter) == fetched_model("ab")


def test_a_recorded_data_set_s_faults_carry_its_own_name(own_home: Path) -> None:
    content, folder = own_home / "datasets" / "content" / "ab", own_home / "datasets" / "01DATA"
    content.parent.mkdir(parents=True)
    folder.mkdir()
    content.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "no answer"}\n')
    (folder / "mine.jsonl").symlink_to(content)
    assert open_source("dataset:01DATA").uri == "mine.jsonl"
    [fault] = read_dataset("dataset:01DATA").faults
    assert (fault.file, fault.line) == ("mine.jsonl", 2)
    with pytest.raises(BadInput, match="01GONE is not on this host"):
        open_source("dataset:01GONE")


@pytest.fixture(scope="module")
def tuned(
    stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, Job, Artifact]:
    """Two fine-tunes of one base by LoRA, and the first one's adapter."""
    rows = write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")
    config = FinetuneConfig.model_validate({"model": str(tiny_model), "dataset": str(rows), **LORA})
    runs = [
        start(stack, "finetune/gpu", {"config": config.model_dump(mode="json") | {"seed": seed}})
        for seed in (1, 2)
    ]
    first, second = (finished(stack, run) for run in runs)
    assert (first.error, second.error) == (None, None)
    with stack.client() as client:
        return first, second, client.artifacts.get(first.result["artifact_id"])


@pytest.fixture(scope="module")
def merged(stack: Stack, tuned: tuple[Job, Job, Artifact]) -> tuple[str, Job]:
    run_id = start(stack, "merge/gpu", {"config": MergeConfig(artifact=tuned[2].id).model_dump()})
    return run_id, finished(stack, run_id)


def test_two_fine_tunes_of_one_base_have_one_parent_that_belongs_to_no_job(
    stack: Stack, tuned: tuple[Job, Job, Artifact], tiny_model: Path
) -> None:
    _, second, adapter = tuned
    with stack.client() as client:
        other = client.artifacts.get(second.result["artifact_id"])
        assert adapter.parent_id is not None
        assert adapter.parent_id == other.parent_id != other.id
        base = client.artifacts.get(adapter.parent_id)
    assert (adapter.kind, base.kind, base.parent_id, base.job_id) == ("adapter", "base", None, None)
    assert (base.uri, base.sha256, base.size_bytes) == (str(tiny_model), *folder_sha256(tiny_model))


def test_a_merged_model_is_recorded_under_its_adapter_with_its_parity(
    stack: Stack, tuned: tuple[Job, Job, Artifact], merged: tuple[str, Job]
) -> None:
    run_id, job = merged
    assert (job.status, job.error, job.kind) == ("completed", None, "merge")
    assert ended(stack, run_id)["state_type"] == "COMPLETED"
    with stack.client() as client:
        model = client.artifacts.get(job.result["artifact_id"])
    assert (model.kind, model.parent_id, model.job_id) == ("merged", tuned[2].id, job.id)
    assert job.result["same_answers"] == job.result["prompts"] == model.details["merge"]["prompts"]
    assert model.details["merge"]["largest_difference"] == job.result["largest_difference"] < 1e-3
    assert folder_sha256(Path(model.uri)) == (model.sha256, model.size_bytes)
    assert "files" not in job.result


def test_a_merged_model_and_its_adapter_answer_a_suite_alike(
    stack: Stack, tuned: tuple[Job, Job, Artifact], merged: tuple[str, Job], tmp_path: Path
) -> None:
    suite = tmp_path / "suite.jsonl"
    suite.write_text("".join(json.dumps({"prompt": f"Say {n}", "expected": "x"}) + "\n" for n in range(4)))
    runs = []
    for artifact_id in (tuned[2].id, merged[1].result["artifact_id"]):
        config = BatchTestConfig(model=f"artifact:{artifact_id}", suite=str(suite), max_new_tokens=4)
        runs.append(start(stack, "batch-test/gpu", {"config": config.model_dump(mode="json")}))
    answers = []
    with stack.client() as client:
        for run in runs:
            job = finished(stack, run)
            assert job.error is None
            answers.append([one.response for one in client.tests.iter_predictions(job.id)])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 4


def test_what_is_no_adapter_is_refused_by_its_field(stack: Stack, merged: tuple[str, Job]) -> None:
    for artifact_id, said in ((merged[1].result["artifact_id"], "is a merged"), ("01GONE", "no artifact")):
        run_id = start(stack, "merge/gpu", {"config": {"artifact": artifact_id}})
        job = finished(stack, run_id)
        assert job.status == "failed"
        assert said in (job.error or "")
        assert "artifact" in (job.error or "")


@pytest.mark.slow
def test_an_uploaded_data_set_is_trained_on_and_its_faults_carry_its_name(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    good, bad = write_rows(tmp_path / "good.jsonl", 8), tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "no answer"}\n')
    with stack.client("admin") as admin:
        named = [f"dataset:{admin.datasets.upload(file).id}" for file in (good, bad)]
        before = admin.datasets.list().total
    configs = [{"model": str(tiny_model), "dataset": dataset, **LORA} for dataset in named]
    taught, refused = (
        finished(stack, run) for run in [start(stack, "finetune/gpu", {"config": one}) for one in configs]
    )
    assert (taught.status, taught.error, taught.dataset) == ("completed", None, named[0])
    assert refused.status == "failed"
    assert (refused.error or "").startswith("bad.jsonl:2")
    with stack.client("admin") as admin:
        assert admin.datasets.list().total == before
