#!/usr/bin/env bash
# A synthetic cohort of patients and controls, embedded once, and three probes on it. Usage: three_probes.sh FOLDER
set -eu
mkdir -p "$1" && cd "$1"
prima synth brains --subjects 120 --seed 11 --workers 2
prima embed brains brains.h5
labels=brains/participants.tsv
prima probe fit brain-age brains.h5 --labels $labels --output brain-age
prima probe fit dementia brains.h5 --labels $labels --target-column dementia --output dementia
prima probe fit glioma brains.h5 --labels $labels --target-column glioma --variant presence --output glioma
