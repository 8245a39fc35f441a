#!/usr/bin/env bash
# From a fresh clone to a first answer: installs what is missing, builds, asks the model inside for a haiku, then fetches a
# small real model and asks that.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
folder=$(scripts/build.sh --target haikuda)
show_and_run() {
  printf '\n$' >&2
  printf ' %q' "$@" >&2
  printf '\n' >&2
  "$@" </dev/null
}

show_and_run "$folder/haikuda" "Write a haiku about rain"
scripts/fetch_model.sh smollm2-135m >/dev/null
show_and_run "$folder/haikuda" -m smollm2-135m --temp 0 -n 96 "What is the capital of France?"
