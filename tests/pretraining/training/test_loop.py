"""The loop, with a stage of four numbers: skipped steps, resuming, what a checkpoint is."""

import json
import pickle
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small_training import loop_of
from torch import Tensor, nn

from prima_features.errors import OutputError, UsageError
from prima_features.pretraining.settings import Checkpoint, Log, Optimiser, Schedule, Training, Validation
from prima_features.pretraining.training.checkpoint import check_settings, load, settings_record
from prima_features.pretraining.training.loop import DivergedError, Loop
from prima_features.pretraining.training.optimiser import build_optimiser, rate_factor
from prima_features.pretraining.training.record import History
from prima_features.pretraining.training.stage import Stage, Validated

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon came with torch 2.9")


class Line(Stage[tuple[Tensor, Tensor]]):
    """Fits a line; batches with the numbers in `bad` hold NaN."""

    def __init__(self, accelerator: Accelerator, bad: tuple[int, ...] = ()) -> None:
        torch.manual_seed(0)
        self.accelerator, self.bad, self.undone = accelerator, bad, 0
        self.line = nn.Linear(3, 1)
        self.modules = {"line": self.line}
        self.trained = list(self.line.parameters())
        self.digest = "line"
        self.counts = {}

    def load(self, number: int) -> tuple[Tensor, Tensor]:
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(number))
        if number in self.bad:
            inputs[0, 0] = torch.nan
        return inputs, inputs.sum(1, keepdim=True)

    def backward(self, batch: tuple[Tensor, Tensor], number: int) -> Mapping[str, Tensor]:
        loss = (self.line(batch[0]) - batch[1]).square().mean()
        self.accelerator.backward(loss)
        return {"loss": loss}

    def validate(self) -> Validated:
        distance = (self.line.weight - 1).abs().max().item()
        return Validated({"distance_loss": distance}, -distance)

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def undo(self) -> None:
        self.undone += 1


def settings(folder: Path, steps: int = 8, **changes: Any) -> Training:
    common = {
        "checkpoint": Checkpoint(every=1, keep=100),
        "validation": Validation(every=3),
        "log": Log(tensorboard=False, plots=False),
        "schedule": Schedule(warmup=2),
        "optimiser": Optimiser(lr=0.05),
    }
    return Training(output=folder, steps=steps, device="cpu", **(common | changes))


def loop(folder: Path, chosen: Training, bad: tuple[int, ...] = ()) -> Loop:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=chosen.accumulation)
    return loop_of(Line(accelerator, bad), chosen, accelerator, folder)


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(autouse=True)
def fresh_accelerate() -> None:
    """Accumulation is a setting of the process in accelerate."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.mark.parametrize("kind", ["adam", pytest.param("muon", marks=needs_muon)])
def test_a_run_goes_on_from_any_checkpoint_to_the_same_losses(tmp_path: Path, kind: Any) -> None:
    optimiser = Optimiser(name=kind, lr=0.05)
    whole = loop(tmp_path / "whole", settings(tmp_path / "whole", optimiser=optimiser))
    whole.run()
    for step in range(9):
        folder = tmp_path / f"from-{step}"
        (folder / "checkpoints").mkdir(parents=True)
        name = f"step-{step:08d}.pt"
        (folder / "checkpoints" / name).write_bytes((tmp_path / "whole" / "checkpoints" / name).read_bytes())
        resumed = loop(folder, settings(folder, optimiser=optimiser))
        assert resumed.resume() and resumed.progress.step == step
        resumed.run()
        assert losses(folder) == {s: loss for s, loss in losses(tmp_path / "whole").items() if s > step}
        for one, other in zip(resumed.stage.trained, whole.stage.trained, strict=True):
            assert torch.equal(one, other)
        assert resumed.progress == whole.progress


def test_a_bad_step_is_skipped_and_counted(tmp_path: Path) -> None:
    run = loop(tmp_path, settings(tmp_path), bad=(3, 5))
    progress = run.run()
    assert progress.skipped == 2 and progress.step == 8
    assert run.stage.undone == 2
    assert all(parameter.isfinite().all() for parameter in run.stage.trained)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps if line["loss"] is None] == [4, 6]
    assert [line["skipped"] for line in steps] == [0, 0, 0, 1, 1, 2, 2, 2]
    before, after = (load(tmp_path / "checkpoints" / f"step-0000000{n}.pt") for n in (3, 4))
    assert torch.equal(before["modules"]["line"]["weight"], after["modules"]["line"]["weight"])
    assert before["optimiser"]["state"][0]["step"] == after["optimiser"]["state"][0]["step"] == 3


def test_too_many_bad_steps_stop_the_run(tmp_path: Path) -> None:
    run = loop(tmp_path, settings(tmp_path, nan_limit=3), bad=(1, 2, 4))
    with pytest.raises(DivergedError, match="Stopped at step 5: 3 steps had a loss or gradient"):
        run.run()
    assert all(parameter.isfinite().all() for parameter in run.stage.trained)


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    chosen = settings(tmp_path, steps=1, accumulation=4, schedule=Schedule())
    accumulated = loop(tmp_path, chosen)
    batches = [accumulated.stage.load(number) for number in range(4)]
    expected = Line(accumulated.accelerator)
    accumulated.run()
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    (expected.line(inputs) - targets).square().mean().backward()
    step = build_optimiser(expected.trained, Optimiser(lr=0.05))
    step.step()
    for one, other in zip(accumulated.stage.trained, expected.trained, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_long_gradients_are_shortened(tmp_path: Path) -> None:
    chosen = settings(tmp_path, steps=1, schedule=Schedule(), optimiser=Optimiser(lr=0.1, clip_norm=0.5))
    run = loop(tmp_path, chosen)
    seen = []
    run.optimiser.optimizer.register_step_pre_hook(
        lambda *_: seen.append(torch.cat([p.grad.flatten() for p in run.stage.trained]).norm().item())
    )
    run.run()
    assert seen == [pytest.approx(0.5, rel=1e-3)]


@pytest.mark.parametrize(("name", "moved"), [("adamw", -0.1 * 0.5 * 4), ("adam", -0.1)])
def test_adamw_decays_weights_on_its_own_and_adam_along_the_gradient(name: Any, moved: float) -> None:
    weight = nn.Parameter(torch.tensor([4.0]))
    weight.grad = torch.zeros(1)
    build_optimiser([weight], Optimiser(name=name, lr=0.1, weight_decay=0.5)).step()
    assert weight.item() == pytest.approx(4 + moved)


@needs_muon
def test_muon_moves_matrices_and_adamw_the_rest() -> None:
    def layers() -> nn.Sequential:
        torch.manual_seed(0)
        made = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))
        made(torch.arange(5)).square().sum().backward()
        return made

    moved, expected = layers(), layers()
    table, matrix, *rest = expected.parameters()
    common = {"lr": 0.01, "weight_decay": 0.1}
    torch.optim.Muon([matrix], adjust_lr_fn="match_rms_adamw", **common).step()
    torch.optim.AdamW([table, *rest], betas=(0.8, 0.9), eps=1e-8, **common).step()
    settings = Optimiser(name="muon", betas=(0.8, 0.9), **common)
    optimiser = build_optimiser(list(moved.parameters()), settings, [moved])
    optimiser.step()
    for one, other in zip(moved.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)
    optimiser.zero_grad()
    assert all(one.grad is None for one in moved.parameters())


def test_muon_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="needs both matrices and other weights to train; use 'adamw'"):
        build_optimiser([nn.Parameter(torch.zeros(1))], Optimiser(name="muon"))
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(UsageError, match=r"'muon' needs torch 2\.9 or later"):
        build_optimiser([], Optimiser(name="muon"))


def test_the_learning_rate_warms_up_and_falls_along_a_cosine() -> None:
    schedule = Schedule(warmup=4, floor=0.1)
    factors = [rate_factor(step, 24, schedule) for step in range(24)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0 and factors[14] == pytest.approx(0.55)
    assert all(one > other for one, other in pairwise(factors[4:]))
    assert rate_factor(24, 24, schedule) == pytest.approx(0.1)
    assert rate_factor(500, 1000, Schedule(decay="none")) == 1.0


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    chosen = settings(tmp_path, steps=8, checkpoint=Checkpoint(every=2, keep=2), export="best")
    run = loop(tmp_path, chosen)
    run.run()
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best.pt", "step-00000006.pt", "step-00000008.pt"]
    best = load(tmp_path / "checkpoints" / "best.pt")
    assert best["progress"]["best"] == run.progress.best
    run.finish()
    distance = (run.stage.line.weight - 1).abs().max().item()
    assert -distance == run.progress.best


def test_a_score_that_is_no_number_is_not_the_best(tmp_path: Path) -> None:
    chosen = settings(tmp_path, export="best")
    run = loop(tmp_path, chosen)
    with torch.no_grad():
        run.stage.line.weight[0, 0] = torch.nan
    run._validate()
    assert run.progress.best is None and not (tmp_path / "checkpoints" / "best.pt").exists()
    run.stage.line.reset_parameters()
    run.run()
    assert load(tmp_path / "checkpoints" / "best.pt")["progress"]["best"] == run.progress.best < 0


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    loop(tmp_path, settings(tmp_path)).run()
    newest = tmp_path / "checkpoints" / "step-00000008.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    run = loop(tmp_path, settings(tmp_path))
    assert run.resume() and run.progress.step == 7
    for path in (tmp_path / "checkpoints").glob("step-*"):
        path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"no checkpoint in .* can be read; start over with --fresh"):
        loop(tmp_path, settings(tmp_path)).resume()


def test_a_setting_that_a_later_release_brought_had_its_default(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    older = json.loads(settings_record(chosen))
    del older["accumulation"], older["optimiser.clip_norm"]
    check_settings(json.dumps(older), chosen, tmp_path)
    with pytest.raises(UsageError, match="accumulation was 1 and is 2"):
        check_settings(json.dumps(older), settings(tmp_path, accumulation=2), tmp_path)


@pytest.mark.parametrize("record", ["", "[1]", "[" * 20_000, '{"batch": 1, "batch": 2}'], ids=range(4))
def test_settings_of_a_damaged_checkpoint_are_refused(record: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"settings cannot be read .* start over with --fresh"):
        check_settings(record, settings(tmp_path), tmp_path)


def test_a_log_keeps_its_whole_lines(tmp_path: Path) -> None:
    history = History(tmp_path / "log.jsonl")
    history.add({"step": 1, "loss": 0.5})
    with history.path.open("ab") as file:
        file.write(b'{"step": 2, "lo\n[]\n\xff\n3\n{"loss": 1}\n{"step": "2"}\n' + b"[" * 20_000 + b"\n")
        file.write(b'{"step": 2, "loss": NaN}\n' + b" " * (3 << 20) + b"\n")
    history.add({"step": 3, "loss": 0.25})
    assert [record["step"] for record in history.read()] == [1, 2, 3]
    history.rewind(1)
    assert history.read() == [{"step": 1, "loss": 0.5}]


def test_a_log_that_is_no_file_of_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is not a regular file; move it away"):
        History(Path("/dev/zero")).read()
    history = History(tmp_path / "log.jsonl")
    for step in range(100):
        history.add({"step": step})
    monkeypatch.setattr("prima_features.pretraining.training.record.TABLE_BYTES", 1000)
    with pytest.raises(UsageError, match="has more than 1000 bytes; move it away"):
        history.read()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told() -> None:
    with pytest.raises(OutputError, match="The disk is full: /dev/full was not written"):
        History(Path("/dev/full")).add({"step": 1})


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "step-00000001.pt"
    torch.save({"format_version": 1, "progress": Bad()}, path)
    with pytest.raises(UsageError, match="is damaged or not a checkpoint"):
        load(path)
    path.write_bytes(pickle.dumps(Bad(), protocol=2))
    with pytest.raises(UsageError, match="is damaged or not a checkpoint"):
        load(path)
    assert not (tmp_path / "ran").exists()


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    loop(tmp_path, settings(tmp_path)).run()
    with pytest.raises(UsageError) as error:
        loop(tmp_path, settings(tmp_path, steps=9, seed=1)).resume()
    assert "seed was 0 and is 1; steps was 8 and is 9" in str(error.value)
    assert "--fresh" in str(error.value)
    other = loop(tmp_path, settings(tmp_path))
    other.stage.digest = "other data"
    with pytest.raises(UsageError, match="the studies or the initial model differ"):
        other.resume()
    free = settings(tmp_path, log=Log(every=2, tensorboard=False), validation=Validation(every=4), prefetch=0)
    assert loop(tmp_path, free).resume()


def test_the_log_of_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    loop(tmp_path, settings(tmp_path)).run()
    for step in range(5, 9):
        (tmp_path / "checkpoints" / f"step-0000000{step}.pt").unlink()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    resumed = loop(tmp_path, settings(tmp_path))
    resumed.resume()
    resumed.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 9))
    assert [line["step"] for line in lines if "validation" in line] == [3, 6, 8]
