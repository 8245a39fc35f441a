#!/usr/bin/env bash
# Runs a finished build for MINUTES with random prompts, lengths, samplers, interrupts, truncated files, closed pipes
# and reloads, beside one process that lives as long as all of it; ends in a summary, and in 1 when a text differed,
# memory grew, a run became dearer by 5 %, or something hung, crashed or stayed.
#
#   scripts/soak.sh MINUTES [--device cpu|cuda] [--model FILE] [--binary build/haikuda] [--threads N] [--seed N]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n 's/^# \{0,1\}//p' "$0" | tail -n +2; exit 2; }
model=()
case " $* " in
  *" --model "*) ;;
  *) model=(--model "$(scripts/fetch_model.sh smollm2-135m)") ;;
esac
exec python3 scripts/soak.py "$@" ${model[@]+"${model[@]}"}
