"""Baselines of several jobs, or of two branches, become one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from command import run_command

from pytest_tokenbudget.baselines.format import dump, load
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.composition import StageComposition

STAGES = {"router": StageComposition(1), "worker": StageComposition(2)}


def entry(router: int, worker: int) -> BaselineEntry:
    """A test of two stages."""
    values = {"router.input_tokens": router, "worker.input_tokens": worker, "input_tokens": router + worker}
    metrics = {name: MetricRecord(((value,),), value) for name, value in values.items()}
    return BaselineEntry(metrics=metrics, composition=STAGES, traffic="replay")


def test_shards_are_merged_to_the_bytes_of_one_run(tmp_path: Path) -> None:
    """Each job ran a part of the tests; in any order the union is what one job would have written."""
    tests = {f"test_{n}": entry(n, 10 * n) for n in range(1, 5)}
    shards = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, shard in enumerate(shards):
        shard.write_bytes(dump({key: one for key, one in tests.items() if int(key[-1]) % 2 == number}))
    for order in (shards, shards[::-1]):
        out = tmp_path / "tests" / "__budgets__" / "test_desk.json"
        done = run_command("merge", *order, "-o", out)
        assert (done.returncode, done.stderr) == (0, "")
        assert out.read_bytes() == dump(tests)


def test_shards_of_an_update_begin_with_what_is_committed(tmp_path: Path) -> None:
    """Folders of two jobs that each accepted a part: what a job did not run is no figure of it, and stays no session."""
    committed = {f"test_{n}": entry(n, 10 * n) for n in range(1, 5)}
    accepted = {f"test_{n}": entry(n, 20 * n) for n in range(1, 5)}
    out = tmp_path / "tests" / "__budgets__" / "test_desk.json"
    out.parent.mkdir(parents=True)
    shards = [tmp_path / "shard-1", tmp_path / "shard-2"]
    for order in (shards, shards[::-1]):
        out.write_bytes(dump(committed))
        for number, shard in enumerate(shards):
            ran = {key: one for key, one in accepted.items() if int(key[-1]) % 2 == number}
            file = shard / "tests" / "__budgets__" / "test_desk.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(dump(committed | ran))
            (file.parent / "production.json").write_text("{}")
        done = run_command("merge", *order, "-o", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert out.read_bytes() == dump(accepted)
        assert "4 tests of 2 files" in done.stdout


def test_folders_without_baselines_and_folders_beside_files_are_errors(tmp_path: Path) -> None:
    """Each is said in a line, with what to give instead."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.json").write_bytes(dump({}))
    for paths in (["empty"], ["empty", "a.json"]):
        done = run_command("merge", *(tmp_path / path for path in paths), "-o", tmp_path / "out")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "folder" in done.stderr


def test_a_file_that_is_no_baseline_is_an_error(tmp_path: Path) -> None:
    """One error with the place, exit code 2, and nothing is written."""
    (tmp_path / "a.json").write_text("{")
    for file in ("a.json", "none.json"):
        done = run_command("merge", tmp_path / file, "-o", tmp_path / "c.json")
        assert done.returncode == 2
        assert file in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "c.json").exists()


def test_branches_that_changed_different_figures_merge_by_themselves(tmp_path: Path) -> None:
    """Other tests, or other stages of one; the sums over stages follow."""
    sides = {
        "base": {"test_a": entry(10, 100), "test_b": entry(1, 2)},
        "ours": {"test_a": entry(20, 100), "test_b": entry(1, 2)},
        "theirs": {"test_a": entry(10, 300), "test_c": entry(5, 6)},
    }
    paths = [tmp_path / name for name in sides]
    for path, entries in zip(paths, sides.values(), strict=True):
        path.write_bytes(dump(entries))
    assert run_command("merge-driver", *paths, "tests/__budgets__/x.json").returncode == 0
    assert load(paths[1].read_bytes(), paths[1]) == {"test_a": entry(20, 300), "test_c": entry(5, 6)}


def test_a_figure_that_both_branches_changed_is_a_conflict_that_names_it(tmp_path: Path) -> None:
    """Exit code 1, and the branch's own file stays as it was."""
    paths = [tmp_path / name for name in ("base", "ours", "theirs")]
    for path, worker in zip(paths, (100, 200, 300), strict=True):
        path.write_bytes(dump({"test_a": replace(entry(10, worker), models=("m",))}))
    before = paths[1].read_bytes()
    done = run_command("merge-driver", *paths, "x.json")
    assert done.returncode == 1
    assert "x.json: changed on both sides: test_a metrics input_tokens worker" in done.stderr
    assert paths[1].read_bytes() == before


def test_production_that_both_branches_imported_is_a_conflict(tmp_path: Path) -> None:
    """It is no sum of two; this branch's file stays as it is, and the message says how to take the other."""
    paths = [tmp_path / name for name in ("base", "ours", "theirs")]
    for number, path in enumerate(paths):
        path.write_text(f'{{\n  "format": 1,\n  "kind": "production",\n  "source": "{number}"\n}}\n')
    before = paths[1].read_bytes()
    done = run_command("merge-driver", *paths, "a b/__budgets__/production.json")
    assert done.returncode == 1
    assert "production.json: both branches imported production" in done.stderr
    assert "git checkout --theirs 'a b/__budgets__/production.json'" in done.stderr
    assert paths[1].read_bytes() == before


def test_a_side_that_cannot_be_read_is_an_error_of_the_driver(tmp_path: Path) -> None:
    """One sentence with the name of the file in the repository, not of git's copy, and exit code 2."""
    (tmp_path / "ours").write_text("{")
    done = run_command(
        "merge-driver", tmp_path / "ours", tmp_path / "ours", tmp_path / "ours", "tests/__budgets__/x.json"
    )
    assert done.returncode == 2
    assert "tests/__budgets__/x.json" in done.stderr
    done = run_command("merge-driver", tmp_path / "none", tmp_path / "ours", tmp_path / "ours")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
