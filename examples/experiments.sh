#!/usr/bin/env bash
# The three experiments of docs/experiments.md on synthetic brains. Usage: experiments.sh FOLDER
# If prima is in .venv only: PRIMA=.venv/bin/prima examples/experiments.sh FOLDER
set -eu
PRIMA=${PRIMA:-prima}
if [ $# -ne 1 ]; then
  echo "Usage: experiments.sh FOLDER, where FOLDER is new" >&2
  exit 2
fi
folder=$1
if ! command -v "$PRIMA" > /dev/null; then
  echo "experiments.sh: there is no command $PRIMA; name it, as in PRIMA=.venv/bin/prima $0 $folder" >&2
  exit 2
fi
mkdir -p "$folder"
if [ -n "$(ls -A "$folder")" ]; then
  echo "experiments.sh: $folder is not empty; name a new folder, or delete this one" >&2
  exit 2
fi
program=$(command -v "$PRIMA")
PRIMA=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
cd "$folder"
"$PRIMA" synth cohort --subjects 120 --seed 41 --workers 2 --condition control dementia glioma stroke \
  multiple_sclerosis meningioma subdural_haematoma haemorrhage hydrocephalus metastases

# 1. Accuracy per diagnosis
"$PRIMA" embed cohort cohort.h5
"$PRIMA" diagnose cohort.h5 scores.tsv
"$PRIMA" audit scores.tsv accuracy --labels cohort/labels.tsv

# 2. The worth of series names
"$PRIMA" embed cohort hidden.h5 --series-names hidden
"$PRIMA" diagnose hidden.h5 hidden.tsv
"$PRIMA" audit scores.tsv names --labels cohort/labels.tsv --compare hidden.tsv

# 3. Fairness
"$PRIMA" audit scores.tsv fairness --labels cohort/labels.tsv --attributes cohort/participants.tsv \
  --groups sex age_band site --cross sex,age_band
