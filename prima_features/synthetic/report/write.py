"""Writes the report of a study from its measures and acquisitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prima_features.synthetic.acquisition import Acquisition
from prima_features.synthetic.lesions.records import Lesion
from prima_features.synthetic.lesions.vascular import BLOOD_CHRONIC, BLOOD_SUBACUTE, CHRONIC, SUBACUTE
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.report import phrases
from prima_features.synthetic.subject import Subject

_DEGREES = ("mild", "moderate", "advanced")
_AMOUNTS = ("scattered", "multiple", "confluent")
ATROPHY_MM = (0.55, 0.85, 1.15)
"""Widening of the sulci from which volume loss is mild, moderate, advanced."""
HYPERINTENSITY_ML = (1.0, 4.0, 12.0)
"""Volumes from which white-matter disease is mild, moderate, advanced."""
VENTRICLE_RATIOS = (0.85, 1.25, 1.8)
"""Lateral ventricles relative to the atlas from which they are of average width, generous, large."""
SHIFT_MM = 3.0
"""Smallest midline shift that is reported."""
_MASSES = (
    "glioma", "meningioma", "metastasis", "abscess", "haemorrhage", "subdural_haematoma", "arachnoid_cyst",
)  # fmt: skip


def write_report(
    subject: Subject, truth: Mapping[str, float], scans: Sequence[Acquisition], wording: int = 0
) -> str:
    """TECHNIQUE, FINDINGS and IMPRESSION.

    Args:
        truth: what `prima_features.synthetic.measure` found.
        scans: enhancement is reported if one has contrast agent, diffusion if one is diffusion-weighted.
        wording: other numbers say the same in other words.
    """
    rng = generator(subject.seed, subject.index, f"report {wording}" if wording else "report")
    contrast = any(scan.contrast_dose > 0 for scan in scans)
    impression = _impression(subject, truth, rng)
    incidental = _incidental(subject, rng)
    findings = [
        *_lesion_sentences(subject, contrast, rng),
        *_mass_effect(subject, truth, rng),
        *_fluid_spaces(subject, rng),
        *_white_matter(subject, truth, rng),
        *incidental,
        *_negatives(subject, contrast, scans, rng),
    ]
    if impression or incidental:
        # First, because summaries of long reports leave out what comes last.
        findings.insert(0, _pick(rng, phrases.PATIENT).format(patient=_patient(subject)))
    if not impression:
        normal = phrases.NOTHING_ACUTE if incidental else _pick(rng, phrases.NORMAL)
        impression = [phrases.NORMAL_PATIENT.format(normal=normal, patient=_patient(subject))]
    return "\n".join(
        (
            "TECHNIQUE: " + _technique(scans, contrast, rng),
            "FINDINGS: " + " ".join(findings),
            "IMPRESSION:",
            *(f"{number}. {line}" for number, line in enumerate(impression, start=1)),
        )
    )


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _grade(value: float, steps: Sequence[float]) -> int:
    """How many steps a value has reached."""
    return sum(value >= step for step in steps)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def stage(subject: Subject, kind: str) -> str:
    """The kind of a lesion with its stage or grade: `stroke acute`, `glioma 4`."""
    if kind == "glioma":
        return f"glioma {subject.fact('grade')}"
    if days := subject.fact("days_since_onset"):
        blood = kind in ("haemorrhage", "subdural_haematoma")
        steps = (BLOOD_SUBACUTE, BLOOD_CHRONIC) if blood else (SUBACUTE, CHRONIC)
        name = ("acute", "subacute", "chronic")[_grade(float(days), steps)]
        return f"{kind} {'subacute' if kind == 'haemorrhage' and name == 'chronic' else name}"
    return kind


def _patient(subject: Subject) -> str:
    """Such as `72-year-old woman in her eighth decade with generous ventricles`.

    It distinguishes the reports of healthy subjects.
    """
    return phrases.WHO.format(
        age=int(subject.age),
        person="woman" if subject.sex == "F" else "man",
        their="her" if subject.sex == "F" else "his",
        decade=phrases.DECADES[int(subject.age) // 10],
        ventricles=phrases.VENTRICLES[_grade(subject.ventricle_ratio, VENTRICLE_RATIOS)],
    )


def _lesion_sentences(subject: Subject, contrast: bool, rng: np.random.Generator) -> list[str]:
    if not subject.lesions:
        return []
    largest = max(subject.lesions, key=lambda lesion: lesion.diameter)
    size = largest.diameter * subject.head_size
    active = sum(layer.tissue == "active_plaque" for lesion in subject.lesions for layer in lesion.layers)
    added = {name: text if contrast else "" for name, text in phrases.CONTRAST.items()}
    enhances = any(layer.tissue == "enhancing_tumour" for layer in largest.layers)
    added["patchy"] = added["patchy"] if enhances else added["none"]
    added["active"] = added["active"].format(active=active) if active else ""
    sentence = _pick(rng, phrases.LESIONS[stage(subject, largest.kind)])
    filled = sentence.format(
        size=f"{max(size, 3) / 10:.1f}",
        mm=round(size),
        where=largest.located,
        count=len(subject.lesions),
        **added,
    )
    edema = any(layer.tissue == "oedema" for layer in largest.layers) and largest.kind != "metastasis"
    return [_capital(filled), *([_pick(rng, phrases.EDEMA)] if edema else [])]


def has_mass_effect(subject: Subject) -> bool:
    """Whether a lesion visibly displaces the brain."""
    return any(_pushes(lesion) for lesion in subject.lesions)


def _pushes(lesion: Lesion) -> bool:
    return (
        lesion.kind in _MASSES
        and lesion.growth > 1.25
        and (lesion.diameter > 20 or lesion.shape == "crescent")
    )


def _mass_effect(subject: Subject, truth: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    sentences = [_pick(rng, phrases.EFFECT)] if has_mass_effect(subject) else []
    shift = truth["midline_shift_mm"]
    if abs(shift) >= SHIFT_MM:
        direction = "right" if shift > 0 else "left"
        sentences.append(_pick(rng, phrases.SHIFT).format(mm=round(abs(shift)), direction=direction))
    return sentences


def _fluid_spaces(subject: Subject, rng: np.random.Generator) -> list[str]:
    if subject.condition == "hydrocephalus":
        return [_pick(rng, phrases.WIDE_VENTRICLES)]
    degree = _grade(subject.sulcal_mm, ATROPHY_MM)
    wide = subject.ventricle_ratio >= VENTRICLE_RATIOS[1]
    sentences = []
    if degree:
        name = _DEGREES[degree - 1]
        atrophy = phrases.ATROPHY_WIDE if wide else phrases.ATROPHY
        sentences.append(_pick(rng, atrophy).format(degree=name, Degree=_capital(name)))
    elif not (has_mass_effect(subject) or subject.ventricle_asymmetry or subject.condition == "colloid_cyst"):
        sentences.append(_pick(rng, phrases.NORMAL_SULCI if wide else phrases.NORMAL_VENTRICLES))
    if subject.condition == "dementia":
        sentences.append(_pick(rng, phrases.HIPPOCAMPAL))
    return sentences


def _white_matter(subject: Subject, truth: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    if subject.condition in ("multiple_sclerosis", "hydrocephalus"):
        return []
    if degree := _grade(truth["wmh_ml"], HYPERINTENSITY_ML):
        amount = _AMOUNTS[degree - 1]
        sentence = _pick(rng, phrases.HYPERINTENSITIES)
        return [sentence.format(amount=amount, Amount=_capital(amount), degree=_DEGREES[degree - 1])]
    return [] if subject.lesions else [_pick(rng, phrases.NO_HYPERINTENSITIES)]


def _incidental(subject: Subject, rng: np.random.Generator) -> list[str]:
    # Findings on both sides are reported once, but air cells one by one.
    apart = {
        (lesion.kind, lesion.located if lesion.kind == "mucosa" else "") for lesion in subject.incidental
    }
    sentences = [_pick(rng, phrases.INCIDENTAL[kind]).format(where=where) for kind, where in sorted(apart)]
    if subject.ventricle_asymmetry:
        side, other = ("right", "left") if subject.ventricle_asymmetry > 0 else ("left", "right")
        sentences.append(_pick(rng, phrases.INCIDENTAL["asymmetry"]).format(side=side, other=other))
    return [sentences[i] for i in rng.permutation(len(sentences))]


def _negatives(
    subject: Subject, contrast: bool, scans: Sequence[Acquisition], rng: np.random.Generator
) -> list[str]:
    tissues = {layer.tissue for lesion in subject.lesions for layer in lesion.layers}
    diffusion = any(scan.sequence == "DWI" for scan in scans)
    sentences = []
    if diffusion and not tissues & {"infarct_acute", "infarct_subacute", "pus"}:
        bright = any(lesion.kind == "choroid_cyst" for lesion in subject.incidental)
        sentences.append(_pick(rng, phrases.NO_INFARCT if bright else phrases.NO_DIFFUSION))
    if not subject.lesions:
        if not any(lesion.kind == "mega_cisterna" for lesion in subject.incidental):
            sentences.append(_pick(rng, phrases.NO_MASS))
        if contrast:
            sentences.append(_pick(rng, phrases.NO_ENHANCEMENT))
    if rng.random() < 0.6:
        sentences.append(_pick(rng, phrases.FLOW_VOIDS))
    return [sentences[i] for i in rng.permutation(len(sentences))]


def _impression(subject: Subject, truth: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    lines = []
    if subject.lesions:
        largest = max(subject.lesions, key=lambda lesion: lesion.diameter)
        line = _pick(rng, phrases.IMPRESSIONS[stage(subject, largest.kind)])
        lines.append(_capital(line.format(where=largest.located, Where=_capital(largest.located))))
    if abs(truth["midline_shift_mm"]) >= SHIFT_MM:
        lines.append(f"Mass effect with {round(abs(truth['midline_shift_mm']))} mm midline shift.")
    if subject.condition == "hydrocephalus":
        lines.append(_pick(rng, phrases.HYDROCEPHALUS))
    degree = _grade(subject.sulcal_mm, ATROPHY_MM)
    if subject.condition == "dementia":
        lines.append(_pick(rng, phrases.DEMENTIA_ATROPHY if degree else phrases.DEMENTIA))
    elif degree and subject.condition != "hydrocephalus":
        lines.append(_pick(rng, phrases.VOLUME_LOSS).format(Degree=_capital(_DEGREES[degree - 1])))
    degree = _grade(truth["wmh_ml"], HYPERINTENSITY_ML)
    if degree and subject.condition not in ("multiple_sclerosis", "hydrocephalus"):
        lines.append(_pick(rng, phrases.SMALL_VESSEL).format(Degree=_capital(_DEGREES[degree - 1])))
    return lines


def _technique(scans: Sequence[Acquisition], contrast: bool, rng: np.random.Generator) -> str:
    shown = [f"{scan.plane} {scan.sequence.removesuffix('c').removesuffix('w')}" for scan in scans]
    sentence = _pick(rng, phrases.TECHNIQUE)
    return _capital(
        sentence.format(
            contrast="with and without" if contrast else "without", sequences=", ".join(dict.fromkeys(shown))
        )
    )
