#!/usr/bin/env bash
# The speed that haikuda is to reach on one H200: writes the model files (random weights in real shapes, 30 GB), checks
# that what is fast is also right, then measures every row and prints it beside its bars. One call, under 8 minutes.
# usage: scripts/bench_h200.sh [--build DIR] [--models DIR] [--out DIR] [--device cpu] [--small]
#   --build   a finished build (default: build)          --models  where the model files are or go (default: DIR of --out)
#   --out     JSON of every row (default: bench-out)     --device cpu, --small: to try the script without a GPU; no bars
# Exits 0, 1 when a check failed or a row is below its "must", 2 for wrong usage.
set -u
cd "$(dirname "$0")/.." || exit 2
build=build models= out=bench-out device=cuda
flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --build | --models | --out | --device)
      [ $# -ge 2 ] || { echo "bench_h200: $1 needs a value" >&2; exit 2; }
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    --small) flags+=(--small) && shift ;;
    *) echo "bench_h200: unknown argument $1; the head of this file says what there is" >&2; exit 2 ;;
  esac
done
models=${models:-$out}
flags+=(--device "$device")
binary=$build/haikuda
[ -x "$binary" ] || { echo "bench_h200: no $binary; build it first: cmake --build $build" >&2; exit 2; }
mkdir -p "$out" || exit 2

start=$(date +%s)
status=0
# step NAME SECONDS COMMAND…: runs it for at most that long; a failure is remembered, and the rest runs all the same.
step() {
  local name=$1 limit=$2 rc
  shift 2
  echo "== $name ($(($(date +%s) - start)) s)"
  timeout "$limit" "$@"
  rc=$?
  if [ $rc -ne 0 ]; then
    status=1
    echo "bench_h200: $name FAILED ($rc)"
  fi
}

# job NAME SECONDS COMMAND…: the same beside the steps that follow, until finish says how it went.
names=()
pids=()
job() {
  local name=$1 limit=$2
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 </dev/null &
  names+=("$name") pids+=($!)
}
finish() {
  local i rc
  for i in "${!names[@]}"; do
    wait "${pids[$i]}"
    rc=$?
    echo "== ${names[$i]}: $(grep -aE 'assertions|^passed' "$out/${names[$i]}.log" | tail -1) $(grep -aoE 'RACECHECK SUMMARY.*' "$out/${names[$i]}.log")"
    [ $rc -eq 0 ] && continue
    status=1
    echo "bench_h200: ${names[$i]} FAILED ($rc)"
    tail -20 "$out/${names[$i]}.log"
  done
}

[ "$device" = cuda ] && nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,memory.total --format=csv,noheader
if [ "$device" = cuda ]; then
  tests=$build/tests/cuda/haikuda_cuda_tests
  job "ops against the CPU" 240 "$tests" '[ops]~[fused]' -r compact
  job "fused products against the CPU" 240 "$tests" '[fused]' -r compact
  job "models against the CPU" 240 "$tests" '[model]' -r compact
  if command -v compute-sanitizer >/dev/null; then
    export HAIKUDA_THIN=1
    for part in '[fused]' '[token]' '~[fused]~[token]'; do
      job "racecheck of $part" 400 compute-sanitizer --tool racecheck --error-exitcode 1 "$tests" "[sanitize]$part" -r compact
    done
  else
    echo "bench_h200: racecheck skipped: compute-sanitizer is not on PATH"
  fi
fi
step models 150 python3 scripts/bench_rows.py models "$models" "${flags[@]}"
step "tokens" 240 python3 scripts/bench_rows.py check "$models" "$binary" "${flags[@]}"
finish
step "rows" 300 python3 scripts/bench_rows.py measure "$models" "$binary" "$out" "${flags[@]}"
echo "bench_h200: $(($(date +%s) - start)) s, $([ $status -eq 0 ] && echo passed || echo FAILED)"
exit $status
