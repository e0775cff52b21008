"""`prima embed`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prima_features.cli import options as find
from prima_features.cli.bids_app import (
    bids_app_output,
    bids_format,
    check_one_model,
    describe_output,
    merge_participants,
)
from prima_features.cli.console import (
    print_caveat,
    print_failures_of,
    print_report,
    print_summary,
    showing,
    study_progress,
)
from prima_features.cli.process import importing, stopping_on_signals
from prima_features.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from prima_features.embedding.engine.local import Engine
    from prima_features.embedding.engine.options import EngineOptions

_RUN = "Long runs and clusters"


def embed(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A BIDS dataset, a DICOM tree, a NIfTI file or folder, or a manifest table.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Argument(metavar="OUTPUT.h5", help="The embeddings file to write.", show_default=False),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="TABLE",
            help="Table of scans (TSV, CSV or Excel) instead of SOURCE: prima embed --manifest T.tsv OUT.h5.",
        ),
    ] = None,
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            metavar="[NAME=]MODEL",
            help="A bundled name, a model directory, or a Hub id with optional @REVISION. Repeat it to embed with "
            "several models, reading each scan once: OUTPUT.A.h5 is the file of the model A.",
        ),
    ] = [DEFAULT_MODEL],  # noqa: B006  typer copies it
    study_description: find.StudyDescription = None,
    series_names: Annotated[
        Literal["keep", "hidden"] | None,
        typer.Option(
            "--series-names",
            help="hidden: Prima reads the same name for every series, to measure the effect of series names "
            "(default: keep).",
            show_default=False,
        ),
    ] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder-option",
            metavar="[A:]NAME=VALUE",
            help="Option of the model's encoder, such as series_names=hidden for Prima; repeat for more. With several "
            "models it is set in each that has it; A:NAME=VALUE sets it in the model A.",
            show_default=False,
        ),
    ] = None,
    allow_unstripped: Annotated[
        bool,
        typer.Option(
            "--allow-unstripped",
            help="Embed scans without a brain mask with encoders that were trained on skull-stripped brains, with the "
            "flag unstripped. Same as --encoder-option unstripped=allow.",
        ),
    ] = False,
    level: Annotated[
        Literal["study", "token"], typer.Option("--level", help="token: also store the vector of each token.")
    ] = "study",
    dtype: Annotated[
        Literal["float32", "float16"], typer.Option("--dtype", help="Data type of the stored vectors.")
    ] = "float32",
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="Device: auto (all GPUs if any are available, otherwise the CPU), cpu, cuda (all GPUs), cuda:1 or "
            "cuda:0,cuda:2.",
        ),
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option(
            "--precision",
            help="Data type of the network; auto: bf16 on GPUs that support it, otherwise fp32.",
        ),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            help="Number of reader processes; 0: read in the main process (default: up to 4 on the CPU, up to 8 per "
            "GPU).",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Batch size of the network; for Prima, in subvolumes (default: 256 on a GPU, 32 on the CPU).",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="Run on this machine or on a Ray cluster.", rich_help_panel=_RUN),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT|auto",
            help="Ray cluster (default: RAY_ADDRESS if set, otherwise a new one on this machine).",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            "--shard",
            metavar="I/N|slurm",
            help="Embed only this job's share of the studies; combine the shards with prima merge OUTPUT.h5.",
            rich_help_panel=_RUN,
        ),
    ] = "1/1",
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Retry failed scans even if they have not changed.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Discard the results of an earlier run.", rich_help_panel=_RUN),
    ] = False,
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="Stop at the first scan that fails.", rich_help_panel=_RUN),
    ] = False,
    analysis_level: Annotated[
        Literal["participant", "group"] | None,
        typer.Option(
            "--analysis-level",
            help="Run as a BIDS App: OUTPUT is a folder. Same as prima BIDS_DIR OUT_DIR participant.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check the models and show what would be embedded and what would be left out; write nothing and "
            "download nothing.",
        ),
    ] = False,
    format: find.Format = "auto",
    participant_label: find.Participants = None,
    session_label: find.Sessions = None,
    datatype: find.Datatypes = None,
    suffix: find.Suffixes = None,
    bids_filter_file: find.FilterFile = None,
    derivatives: find.Derivatives = None,
    modality: find.Modality = "MR",
    min_slices: find.MinSlices = 5,
    time_series: find.TimeSeries = "skip",
    slice_tolerance: find.SliceTolerance = 0.05,
    slice_axis: find.SliceAxis = None,
    nan: find.Nan = "refuse",
    max_subvolumes_action: find.MaxSubvolumesAction = "fail",
    keep_patient_id: find.KeepPatientId = False,
    no_report: find.NoReport = False,
    no_pictures: find.NoPictures = False,
) -> None:
    """Embed every study of SOURCE into one HDF5 file per model.

    Scans that cannot be read are listed with the reason, and the others are embedded. The same command resumes an
    interrupted run; several processes that run it at the same time share the work. Doubtful series are flagged.
    """
    if ray_address is not None and engine != "ray":
        raise typer.BadParameter("it requires --engine ray", param_hint="--ray-address")
    if workers == 0 and engine == "ray":
        raise typer.BadParameter("--engine ray needs at least one reader", param_hint="--workers")
    if analysis_level is not None:
        format = bids_format(format, manifest)
        check_one_model(model)
    if manifest is not None:
        if output is not None:
            raise typer.BadParameter("it replaces SOURCE; give only one of them", param_hint="--manifest")
        source, output, format = manifest, output or source, "manifest"
    if output is None:
        raise typer.BadParameter("name the file to write, such as out.h5", param_hint="OUTPUT.h5")
    if analysis_level == "group":
        merge_participants(output, force, no_report, no_pictures)
        return
    folder = output if analysis_level else None
    encoder_options = find.named_values(encoder_option, "--encoder-option")
    if (
        series_names is not None
        and (given := encoder_options.get("series_names", series_names)) != series_names
    ):
        raise typer.BadParameter(
            f"it contradicts --encoder-option series_names={given}; give only one of them",
            param_hint="--series-names",
        )
    if series_names == "hidden":
        encoder_options |= {"series_names": series_names}
    if allow_unstripped and encoder_options.setdefault("unstripped", "allow") != "allow":
        raise typer.BadParameter(
            "it contradicts --encoder-option unstripped=refuse; give only one of them",
            param_hint="--allow-unstripped",
        )
    find_options = find.collect(
        format=format,
        participants=participant_label,
        sessions=session_label,
        datatypes=datatype,
        suffixes=suffix,
        filter_file=bids_filter_file,
        modality=modality,
        min_slices=min_slices,
        time_series=time_series,
        slice_tolerance=slice_tolerance,
        derivatives=derivatives,
    )
    if dry_run:
        with importing():
            from prima_features.cli.inspect import show_source
            from prima_features.embedding.several import check_models

        check_models(output, model, encoder_options)
        show_source(source, find_options, keep_patient_id, slice_axis)
        return

    if folder is not None:
        output = bids_app_output(folder, source, find_options)

    with importing():
        from prima_features.embedding.engine.options import EngineOptions
        from prima_features.embedding.resume.options import RunOptions, parse_shard
        from prima_features.embedding.run import embed_several
        from prima_features.embedding.several import load_models
        from prima_features.volumes import ReadOptions

    run_options = RunOptions(parse_shard(shard), retry_failed, force, fail_fast, report=not no_report)
    engine_options = EngineOptions(
        read=ReadOptions(slice_axis, min_slices, nan, max_subvolumes_action),
        batch_size=batch_size,
        keep_tokens=level == "token",
        precision=precision,
        workers=workers,
        pictures=not (no_pictures or no_report),
    )
    with (
        _opened(engine, ray_address, device, engine_options) as (compute, engine_options),
        study_progress("reading") as show,
    ):
        models = load_models(output, model, encoder_options)
        summaries = embed_several(
            source,
            models,
            find_options,
            engine_options,
            run_options,
            engine=compute,
            description=study_description,
            dtype=dtype,
            keep_patient_id=keep_patient_id,
            command=shlex.join(["prima", *context.obj]),
            on_study=showing(show, len(models)),
            stoppable=stopping_on_signals(),
        )
    infos = [encoder.info for encoder in models.values()]
    if folder is not None:
        describe_output(folder, source, infos[0])
    print_failures_of(summaries)
    for summary in summaries:
        print_summary(summary)
        print_report(summary.report)
    for caveat in dict.fromkeys(info.caveat for info in infos):
        print_caveat(caveat)
    if not all(summary.complete and not summary.is_empty for summary in summaries):
        raise typer.Exit(3)


@contextmanager
def _opened(
    name: str, ray_address: str | None, device: str, options: EngineOptions
) -> Iterator[tuple[Engine, EngineOptions]]:
    """The engine for as long as the block lasts, and the options with what depends on its devices.

    Raises:
        UsageError: a device that is not there, Ray is not installed, or no cluster answers.
    """
    from prima_features.embedding.engine.device import pick_devices

    if name == "local":
        from prima_features.embedding.engine.local import embed_requests

        yield embed_requests, replace(options, devices=tuple(map(str, pick_devices(device))))
        return

    from prima_features.embedding.engine.ray.engine import RayEngine

    with RayEngine(ray_address, device) as cluster:
        yield cluster, cluster.options(options)
