#!/usr/bin/env bash
# A synthetic cohort of patients and controls, embedded once, and three probes on it. Usage: three_probes.sh FOLDER
# Where prima is in .venv only: PRIMA=.venv/bin/prima examples/three_probes.sh FOLDER
set -eu
PRIMA=${PRIMA:-prima}
if [ $# -ne 1 ]; then
  echo "Usage: three_probes.sh FOLDER, where FOLDER is new" >&2
  exit 2
fi
folder=$1
if ! command -v "$PRIMA" > /dev/null; then
  echo "three_probes.sh: there is no command $PRIMA; name it, as in PRIMA=.venv/bin/prima $0 $folder" >&2
  exit 2
fi
mkdir -p "$folder"
if [ -n "$(ls -A "$folder")" ]; then
  echo "three_probes.sh: $folder is not empty; name a new folder, or delete this one" >&2
  exit 2
fi
brains=$folder/brains
labels=$brains/participants.tsv
"$PRIMA" synth "$brains" --subjects 120 --seed 11 --workers 2
"$PRIMA" embed "$brains" "$brains.h5"
"$PRIMA" probe fit brain-age "$brains.h5" --labels "$labels" --output "$folder/brain-age"
"$PRIMA" probe fit dementia "$brains.h5" --labels "$labels" --target-column dementia --output "$folder/dementia"
"$PRIMA" probe fit glioma "$brains.h5" --labels "$labels" --target-column glioma --variant presence --output "$folder/glioma"
