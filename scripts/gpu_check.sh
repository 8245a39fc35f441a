#!/usr/bin/env bash
# Everything that needs a GPU, on a machine that has one and a finished build: the CUDA tests, the command line on the
# GPU, diagnose on healthy models and on planted faults, the strict test of the model inside, how soon Ctrl-C and a closed pipe end a run, then memcheck,
# racecheck, initcheck and synccheck of compute-sanitizer over every kernel and type. Jobs run side by side, two
# processors each. Ends in a table; exits with 1 when a row failed.
#
#   scripts/gpu_check.sh [BUILD, default: build]
#
# BUILD: a folder that has haikuda, haikuda_cuda_tests and haikuda_make_tiny_model somewhere. HAIKUDA_TEST_MODEL: the
# file of a real model, to be compared with the CPU. HAIKUDA_KERNELS_OUT: a folder for the lists of kernels launched.
# HAIKUDA_CHECKS: which of "tests sanitizers", default both.
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:-build}
find_program() { find "$build" -type f -name "$1" -perm -u+x 2>/dev/null | head -1; }
haikuda=$(find_program haikuda) tests=$(find_program haikuda_cuda_tests) maker=$(find_program haikuda_make_tiny_model)
for program in "$haikuda" "$tests" "$maker"; do
  [ -n "$program" ] || { echo "gpu_check: $build is not a finished build; make one: cmake --build $build" >&2; exit 2; }
done
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
kernels=${HAIKUDA_KERNELS_OUT:-$logs}
checks=${HAIKUDA_CHECKS:-tests sanitizers}

# Where the image has cuBLAS only inside Python's packages.
if ! ldconfig -p 2>/dev/null | grep -q 'libcublas\.so\.1[23]'; then
  found=$(find / -xdev \( -name 'libcublas.so.13' -o -name 'libcublas.so.12' \) 2>/dev/null | head -1)
  if [ -n "$found" ]; then
    LD_LIBRARY_PATH="$(dirname "$found")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    export LD_LIBRARY_PATH
    echo "gpu_check: cuBLAS from $found"
  fi
fi

n_processors=$(nproc)
names=()
rows=()
status=0
# job NAME COMMAND…: starts it.
job() {
  local name=$1 first=$((2 * ${#names[@]} % n_processors))
  shift
  names+=("$name")
  (
    start=$(date +%s)
    timeout -k 5 "${LIMIT:-150}" taskset -c "$first,$(((first + 1) % n_processors))" "$@" >"$logs/$name" 2>&1 </dev/null
    echo "$? $(($(date +%s) - start))" >"$logs/$name.result"
  ) &
}
skip() { rows+=("$(printf '%-20s %-12s %5s    %s' "$1" skipped '' "$2")"); }
# Waits for all jobs; a row for each, and the end of what a failed one said.
finish() {
  local name rc seconds verdict detail
  wait
  for name in ${names[@]+"${names[@]}"}; do
    read -r rc seconds <"$logs/$name.result"
    case $rc in
      0) verdict=passed ;;
      4) verdict=skipped ;;
      124 | 137) verdict="TIMED OUT" && status=1 ;;
      *) verdict="FAILED ($rc)" && status=1 ;;
    esac
    if [ "$verdict" != passed ]; then
      echo "== $name: $verdict"
      grep -aE ' SICK | (yes|NO) +NO ' "$logs/$name" | head -40 | cut -c1-160  # patients not found, healthy ones flagged
      { grep -aE -A14 'FAILED|due to|^(FAIL|ERROR):|========= (Error|Warning|Invalid|Uninit|Barrier|Leaked)' "$logs/$name" | head -40
        tail -5 "$logs/$name"; } | cut -c1-200
    fi
    grep -aE 'NMSE [0-9]|near-tie|tokens/s \(|largest context|runs ended after|free as before' "$logs/$name" | head -8 | cut -c1-160
    detail=$(grep -aE 'assertions|^OK|^FAILED|^passed|healthy|skipped' "$logs/$name" | tail -1)
    detail="$detail$(grep -aoE '(ERROR|RACECHECK|LEAK) SUMMARY.*|kernels launched.*|[0-9]+ patients, .*' "$logs/$name" | sed 's/^/; /' | tr -d '\n')"
    rows+=("$(printf '%-20s %-12s %5d s  %s' "$name" "$verdict" "$seconds" "${detail#; }")")
  done
  names=()
}

# The tests.
if [[ $checks = *tests* ]]; then
  job ops "$tests" '[ops]~[fused]~[attention]~[attend_token]~[sample]~[gemm]~[big]'
  job fused "$tests" '[fused]~[big]'
  job attention "$tests" '[attention]~[big],[attend_token]~[big]'
  job sample "$tests" '[sample]~[big],[gemm]~[big]'
  job big "$tests" '[big]'
  job models "$tests" '[model]~[prefill]'
  job prefill "$tests" '[model][prefill],[probe]'
  job upload "$tests" '[upload]~[ops]'
  job sick_patients "$tests" '[diagnose]'
  LIMIT=400 job command_line python3 tests/cli/run.py "$haikuda" --maker "$maker" --device cuda --label command_line
  job determinism python3 tests/cli/run.py "$haikuda" --maker "$maker" --device cuda --label determinism
  for kind in "qwen2 F16" "llama Q4_K" "qwen3 Q8_0"; do
    # shellcheck disable=SC2086  # two arguments in one variable
    "$maker" $kind "$logs/${kind% *}.gguf"
    job "diagnose_${kind% *}" "$haikuda" diagnose -m "$logs/${kind% *}.gguf" --device cuda --against cpu
  done
  job haiku python3 tests/cli/haiku_test.py "$haikuda" both
  if [ -n "${HAIKUDA_TEST_MODEL:-}" ]; then
    job real_model "$tests" '[real]'
    job diagnose_real "$haikuda" diagnose -m "$HAIKUDA_TEST_MODEL" --device cuda --against cpu
  else
    skip real_model "HAIKUDA_TEST_MODEL is not set"
  fi
  finish
  # Alone, because it measures times. Of HAIKUDA_TEST_MODEL, where that is set.
  job signal_times python3 tests/cli/run.py "$haikuda" --maker "$maker" --device cuda --label signal_times --strict
  finish
fi

# What each tool saw, in three processes. synccheck looks at our own kernels alone, memcheck and racecheck at cuBLASLt's too.
# initcheck does not see what cuBLASLt writes, so no test that needs it runs there.
if [[ $checks = *sanitizers* ]] && command -v compute-sanitizer >/dev/null; then
  export HAIKUDA_THIN=1
  filter=--kernel-name
  compute-sanitizer --help 2>/dev/null | grep -q -- "$filter" || filter=--filter
  for tool in memcheck racecheck initcheck synccheck; do
    arguments=()
    [ $tool != synccheck ] || arguments=("$filter" kernel_substring=haikuda --num-cuda-barriers 1024)
    [ $tool != memcheck ] || arguments=(--leak-check full)
    for part in fused token other; do
      selection="[sanitize][$part]"
      [ $part != other ] || selection='[sanitize]~[fused]~[token]'
      [ "$tool $part" != "initcheck other" ] || selection='[sanitize]~[fused]~[token]~[model]~[gemm]'
      HAIKUDA_KERNELS=$kernels/$tool-$part.kernels LIMIT=${SANITIZER_LIMIT:-450} job "$tool-$part" \
        compute-sanitizer --tool $tool --error-exitcode 1 ${arguments[@]+"${arguments[@]}"} "$tests" "$selection"
    done
  done
  finish
  for tool in memcheck racecheck initcheck synccheck; do
    cat "$kernels/$tool"-*.kernels 2>/dev/null | sed 's/^. //' | sort -u >"$logs/all"
    cat "$kernels/$tool"-*.kernels 2>/dev/null | sed -n 's/^+ //p' | sort -u >"$logs/seen"
    rows+=("$(printf '%-20s %d of %d kernel instances' "$tool" "$(wc -l <"$logs/seen")" "$(wc -l <"$logs/all")")")
  done
  echo "== never launched under synccheck:"
  comm -23 "$logs/all" "$logs/seen" | cut -c1-150 | head -40
elif [[ $checks = *sanitizers* ]]; then
  skip sanitizers "compute-sanitizer is not on PATH"
fi

echo
nvidia-smi --query-gpu=name,driver_version,memory.used --format=csv,noheader 2>/dev/null
printf '%s\n' "${rows[@]}"
exit $status
