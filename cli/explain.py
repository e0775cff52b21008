"""`prima explain`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from prima_features.cli import options as find
from prima_features.cli.console import count, err, out, print_caveat, print_failures
from prima_features.models import DEFAULT_MODEL
from prima_features.wording import RESEARCH_ONLY

if TYPE_CHECKING:
    from prima_features.explain import MakeTarget, OnPass

_METHOD = "Method"


def explain(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A BIDS dataset, a DICOM tree, a NIfTI file or folder, or a manifest table.",
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to write.")],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="What to explain: diagnosis/NAME, referral/NAME, priority/LEVEL, text:WORDS, or probe:DIR (a probe "
            "made by prima probe fit).",
        ),
    ],
    model: find.EncoderModel = DEFAULT_MODEL,
    study: Annotated[
        str, typer.Option("--study", metavar="ID", help="Study to explain (default: the only one).")
    ] = "",
    ids_of: Annotated[
        Path | None,
        typer.Option(
            "--ids-of",
            metavar="FILE.h5",
            help="Embeddings file of the same DICOM source: --study is one of its pseudonyms.",
        ),
    ] = None,
    series: Annotated[
        str,
        typer.Option("--series", metavar="NAME", help="Explain only this series (default: all)."),
    ] = "",
    alone: Annotated[
        bool,
        typer.Option("--alone", help="Treat each series as a study of its own.", rich_help_panel=_METHOD),
    ] = False,
    method: Annotated[
        Literal["lime", "lime-public", "leave-out", "gradients"],
        typer.Option(
            "--method",
            help="lime: groups of tokens, until two halves of the samples agree; lime-public: as Prima's public code; "
            "leave-out: each group removed alone; gradients: gradient times input, a quick look.",
            rich_help_panel=_METHOD,
        ),
    ] = "lime",
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            metavar="N",
            min=16,
            help="Passes per series: the most for lime, exactly this for lime-public.",
            rich_help_panel=_METHOD,
        ),
    ] = 1000,
    agreement: Annotated[
        float,
        typer.Option(
            "--agreement",
            metavar="R",
            min=0.0,
            max=1.0,
            help="Correlation (0 to 1) between two halves of the samples at which lime stops.",
            rich_help_panel=_METHOD,
        ),
    ] = 0.9,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, max=2**32 - 1, help="Random seed.", rich_help_panel=_METHOD
        ),
    ] = 0,
    study_description: find.StudyDescription = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="Device: auto (a GPU if available, otherwise the CPU), cpu, cuda or cuda:1; always in float32.",
        ),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Replace OUT_DIR even if this command did not write it.")
    ] = False,
    format: find.Format = "auto",
    participant_label: find.Participants = None,
    session_label: find.Sessions = None,
    datatype: find.Datatypes = None,
    suffix: find.Suffixes = None,
    bids_filter_file: find.FilterFile = None,
    modality: find.Modality = "MR",
    min_slices: find.MinSlices = 5,
    time_series: find.TimeSeries = "skip",
    slice_tolerance: find.SliceTolerance = 0.05,
    slice_axis: find.SliceAxis = None,
    nan: find.Nan = "refuse",
    max_subvolumes_action: find.MaxSubvolumesAction = "fail",
    keep_patient_id: find.KeepPatientId = False,
) -> None:
    """Show which parts of a study an output of the model rests on.

    OUT_DIR gets a map per series on the scan's own grid (NIfTI), tokens.tsv, weights.json in the form of Prima's public
    notebook, explanation.json, and explanation.html with overlays, intervals and a deletion test.
    """
    from prima_features.explain import How, Sampling
    from prima_features.explain import explain as run
    from prima_features.explain.targets import TargetName
    from prima_features.volumes import ReadOptions

    chosen: str | MakeTarget = target
    name = TargetName.parse(target)
    if name.kind == "probe":
        chosen = _probe_target(name.name)
    with _progress() as on_pass:
        found = run(
            source,
            output,
            chosen,
            model,
            study=study,
            how=How(method, Sampling(samples, seed, agreement), series, alone),
            find_options=find.collect(
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
            ),
            read_options=ReadOptions(slice_axis, min_slices, nan, max_subvolumes_action),
            description=study_description or "",
            device=device,
            keep_patient_id=keep_patient_id,
            ids_of=ids_of,
            force=force,
            on_pass=on_pass,
        )
    print_failures(found.failures)
    out.print(
        f"[bold]{escape(str(output))}[/]: {count(len(found.series), 'series', 'series')} of {escape(found.study.id)}; "
        f"{escape(found.target.label)} is {found.value:.4g} ({found.target.meaning})"
    )
    for one in found.series:
        if one.attribution.warning:
            err.print(f"[yellow]Warning:[/] {escape(one.label)}: {one.attribution.warning}")
    print_caveat(found.model.caveat)
    out.print(RESEARCH_ONLY)
    if any(one.defect for one in found.failures):
        raise typer.Exit(3)


def _probe_target(name: str) -> MakeTarget:
    """A target that is the output of a saved probe for the study vector; outputs do not name its path."""

    def make(model: Any, device: Any) -> Any:
        import numpy as np

        from prima_features.explain.targets import function_target
        from prima_features.probes import FeatureSource
        from prima_features.probes.function import study_function

        info = model.info
        source = FeatureSource(
            info.name, info.revision, info.sha256, encoder=info.encoder, caveat=info.caveat
        )
        function, meaning = study_function(name, source)
        function(np.zeros((1, info.widths.study), np.float32))  # refuses a probe of another model
        folder, _, wanted = name.partition("#")
        return function_target(f"probe:{Path(folder).name}{'#' * bool(wanted)}{wanted}", meaning, function)

    return make


@contextmanager
def _progress() -> Iterator[OnPass]:
    """A line that is rewritten on a terminal, otherwise a line for each series."""
    if not err.is_terminal:
        started: set[str] = set()

        def report(label: str, done: int, total: int) -> None:
            if label not in started:
                started.add(label)
                err.print(f"{escape(label)}: at most {total} passes")

        err.print("Reading and tokenizing")
        yield report
        return
    with err.status("Reading and tokenizing") as status:
        yield lambda label, done, total: status.update(f"{escape(label)}: {done} of at most {total} passes")
