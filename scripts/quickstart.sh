#!/usr/bin/env bash
# From a fresh clone to a first answer: installs what is missing, builds, fetches a small real model and asks it.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
folder=$(scripts/build.sh --target haikuda)
scripts/fetch_model.sh smollm2-135m >/dev/null
command=("$folder/haikuda" -m smollm2-135m --temp 0 -n 96 "What is the capital of France?")
printf '\n$' >&2
printf ' %q' "${command[@]}" >&2
printf '\n' >&2
exec "${command[@]}" </dev/null
