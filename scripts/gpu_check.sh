#!/usr/bin/env bash
# Everything that needs a GPU, on a machine that has one and a finished build: the CUDA tests, the command line and the
# strict test of the model inside on the GPU, how soon Ctrl-C and a closed pipe end a run, the memory checker on the
# [memcheck] tests, and a real model against the CPU where HAIKUDA_TEST_MODEL names its file, which is the one that is
# interrupted too. Ends in a table.
# usage: scripts/gpu_check.sh [build directory, default: build]
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:-build}
tests=$(find "$build" -type f -name haikuda_cuda_tests -perm -u+x 2>/dev/null | head -1)
if [ -z "$tests" ]; then
  echo "gpu_check: no haikuda_cuda_tests under $build; build it first: cmake --build $build" >&2
  exit 2
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Where the image has cuBLAS only inside Python's packages.
if ! ldconfig -p 2>/dev/null | grep -q 'libcublas\.so\.1[23]'; then
  found=$(find / -xdev \( -name 'libcublas.so.13' -o -name 'libcublas.so.12' \) 2>/dev/null | head -1)
  if [ -n "$found" ]; then
    LD_LIBRARY_PATH="$(dirname "$found")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    export LD_LIBRARY_PATH
    echo "gpu_check: cuBLAS from $found"
  fi
fi

rows=()
status=0
# step NAME COMMAND…: runs it, keeps the end of what it says, adds a row to the table.
step() {
  local name=$1 start end rc verdict log
  shift
  log="$logs/$name"
  echo "== $name: $*"
  start=$(date +%s)
  timeout 240 "$@" >"$log" 2>&1
  rc=$?
  end=$(date +%s)
  case $rc in
    0) verdict=passed ;;
    4) verdict=skipped ;;
    *) verdict="FAILED ($rc)" && status=1 ;;
  esac
  if [ $rc -ne 0 ]; then head -c 20000 "$log" | head -60; fi
  grep -E 'NMSE [0-9]|near-tie|tokens/s|largest context|runs ended after|free as before' "$log"
  tail -6 "$log"
  rows+=("$(printf '%-22s %-12s %5d s  %s' "$name" "$verdict" $((end - start)) \
    "$(grep -E 'assertions|All tests passed|^OK|^FAILED|^passed|ERROR SUMMARY|skipped' "$log" | tail -1)")")
}

step ops "$tests" '[ops]'
step models "$tests" '[model]'
step command_line python3 tests/cli/run.py "$build/haikuda" --device cuda --label command_line
step haiku python3 tests/cli/haiku_test.py "$build/haikuda" both
step signal_times python3 tests/cli/run.py "$build/haikuda" --device cuda --label signal_times --strict
step determinism python3 tests/cli/run.py "$build/haikuda" --device cuda --label determinism
if command -v compute-sanitizer >/dev/null; then
  step memcheck compute-sanitizer --tool memcheck --leak-check full --error-exitcode 1 "$tests" '[memcheck]'
else
  rows+=("memcheck               skipped             compute-sanitizer is not on PATH")
fi
if [ -n "${HAIKUDA_TEST_MODEL:-}" ]; then
  step real_model "$tests" '[real]'
else
  rows+=("real_model             skipped             HAIKUDA_TEST_MODEL is not set")
fi

echo
nvidia-smi --query-gpu=name,driver_version,memory.used --format=csv,noheader 2>/dev/null
printf '%s\n' "${rows[@]}"
exit $status
