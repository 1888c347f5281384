"""An artifact is deleted where nothing stands on it, and its files with it where they are nobody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api_fixtures import Office
from tests.kept_fixtures import ARTIFACTS, CONTENT, Shelf
from tests.kept_fixtures import shelf as shelf
from tests.test_aliases import Lab
from tests.test_aliases import lab as lab


def delete(office: Office, artifact_id: str, key: str | None = None) -> Any:
    return office.call("DELETE", f"{ARTIFACTS}/{artifact_id}", key or office.key("worker"))


def test_its_files_go_with_it_and_what_lies_beside_them_stays(shelf: Shelf) -> None:
    folder = shelf.folder(CONTENT)
    beside = folder / "notes.txt"
    beside.write_text("mine")
    made = shelf.record(folder)
    assert delete(shelf.office, made).status_code == 204
    assert [path for path in folder.rglob("*") if path.is_file()] == [beside]
    assert delete(shelf.office, made).status_code == 404
    whole = shelf.folder(CONTENT)
    assert delete(shelf.office, shelf.record(whole)).status_code == 204
    assert (whole.exists(), shelf.place.exists()) == (False, True)


def test_files_that_another_artifact_has_too_stay(shelf: Shelf) -> None:
    folder = shelf.folder(CONTENT)
    first, same = shelf.record(folder), shelf.record(f"{folder}/", name="the same")
    around = shelf.record(shelf.place / folder.name / "tokenizer", {"vocab.txt": b"a\nb\n"}, name="inner")
    for artifact in (first, same):
        assert delete(shelf.office, artifact).status_code == 204
        assert (folder / "model.safetensors").exists()
    assert delete(shelf.office, around).status_code == 204
    assert not (folder / "tokenizer").exists()
    other = Shelf(Office(shelf.office.served))
    mine, theirs = shelf.record(folder, {"empty": b""}), other.record(folder, {"empty": b""})
    assert delete(shelf.office, mine).status_code == 204
    assert (folder / "empty").exists()
    assert delete(other.office, theirs).status_code == 204
    assert not (folder / "empty").exists()
    other.office.http.close()


def test_files_elsewhere_changed_or_behind_a_link_stay(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"1")
    elsewhere = shelf.record(tmp_path, {"w": b"1"})
    folder = shelf.folder({"w": b"22"})
    changed = shelf.record(folder, {"w": b"1"})
    linking = shelf.folder({"keep": b""})
    (linking / "w").symlink_to(tmp_path / "w")
    linked = shelf.record(linking, {"w": b"1"})
    for artifact in (elsewhere, changed, linked):
        assert delete(shelf.office, artifact).status_code == 204
    assert ((tmp_path / "w").exists(), (folder / "w").exists()) == (True, True)


def test_nobody_deletes_through_an_artifact_what_another_workspace_s_job_made(shelf: Shelf) -> None:
    """Also once that job is deleted."""
    there = Office(shelf.office.served)
    job, token = there.claimed_job()
    folder = shelf.folder(CONTENT, name=job)
    thief = shelf.record(folder)
    there.end(job, token)
    assert there.call("DELETE", f"/api/v1/jobs/{job}", there.key("training")).status_code == 204
    assert shelf.download(thief, "config.json").status_code == 409
    assert delete(shelf.office, thief).status_code == 204
    assert (folder / "model.safetensors").exists()
    there.http.close()


def test_what_others_stand_on_stays_and_says_who(lab: Lab) -> None:
    office, tuned, other = lab.office, lab.model("tuned"), lab.model("other")
    child = lab.model("child", parent=other)
    assert child in delete(office, other).json()["detail"]
    assert delete(office, child).status_code == 204
    job = office.new_job(model=f"artifact:{other}")
    assert job in delete(office, other).json()["detail"]
    assert office.call("POST", f"/api/v1/jobs/{job}/cancel", lab.worker).status_code == 200
    base, test = lab.test("base", 0), lab.test(f"artifact:{tuned}", 10)
    assert lab.promote(tuned, base, test).status_code == 200
    refused = delete(office, tuned)
    assert (refused.status_code, "production" in refused.json()["detail"]) == (409, True)
    for path in (f"jobs/{test}", f"batch-tests/{test}", f"jobs/{base}"):
        answer = office.call("DELETE", f"/api/v1/{path}", lab.worker)
        assert (answer.status_code, "promotion" in answer.json()["detail"]) == (409, True)
    best = lab.test(f"artifact:{other}", 20)
    assert lab.promote(other, test, best).status_code == 200
    assert delete(office, tuned).status_code == 204
    undone = lab.undo()
    assert (undone.status_code, "deleted" in undone.json()["detail"]) == (409, True)


def test_only_who_records_artifacts_deletes_them(office: Office) -> None:
    new = {"name": "n", "uri": "/x", "size_bytes": 1}
    made = office.call("POST", ARTIFACTS, office.key("worker"), json=new).json()["id"]
    assert delete(office, made, office.key("training")).status_code == 403
    assert delete(office, made, office.key("all")).status_code == 204
