#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test; ends in ctest's own summary and its exit status.
#
#   scripts/test.sh [--sanitize LIST] [ARGUMENTS OF CTEST...]     e.g. scripts/test.sh -R parity
set -euo pipefail
cd "$(dirname "$0")/.."

build_arguments=()
if [ "${1:-}" = --sanitize ]; then
  build_arguments=(--sanitize "${2:?--sanitize needs a list, e.g. address,undefined}")
  shift 2
fi

scripts/setup.sh
folder=$(scripts/build.sh ${build_arguments[@]+"${build_arguments[@]}"})
scripts/fetch_model.sh smollm2-135m ||
  echo "test: without smollm2-135m the tests of a real model are skipped" >&2
exec ctest --test-dir "$folder" --output-on-failure --timeout 1200 "$@" </dev/null
