#!/usr/bin/env bash
# Where the time of a token or of a prompt goes on the GPU.
# usage: scripts/profile.sh timeline MODEL [bench flags]         nsys: time and number of launches of each kernel
#        scripts/profile.sh kernel REGEX MODEL [bench flags]     ncu: time, bytes and share of the memory's rate, of the
#                                                                launches whose kernel matches
# Bench flags default to one generation of 16 tokens at a context of 256: -p 0 -n 16 -d 256. HAIKUDA names the executable
# (default build/haikuda), N_LAUNCHES how many launches ncu looks at (default 40). DRY_RUN=1 prints the command alone.
set -eu
usage() {
  sed -n '2,7s/^# //p' "$0" >&2
  exit 2
}
haikuda=${HAIKUDA:-$(dirname "$0")/../build/haikuda}
[ $# -ge 2 ] || usage
mode=$1
shift
case $mode in
  timeline)
    report=${TMPDIR:-/tmp}/haikuda-profile-$$
    profiler=(nsys profile --force-overwrite true --output "$report" --cuda-graph-trace node --stats false)
    ;;
  kernel)
    [ $# -ge 2 ] || usage
    metrics=gpu__time_duration.sum,dram__bytes_read.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
    metrics+=,sm__throughput.avg.pct_of_peak_sustained_elapsed,launch__registers_per_thread,sm__warps_active.avg.pct_of_peak_sustained_active
    profiler=(ncu --graph-profiling node --kernel-name "regex:$1" --launch-count "${N_LAUNCHES:-40}" --metrics "$metrics")
    shift
    ;;
  *) usage ;;
esac
model=$1
shift
[ $# -gt 0 ] || set -- -p 0 -n 16 -d 256
command=("${profiler[@]}" "$haikuda" bench -m "$model" --device cuda -r 1 --no-warmup "$@")
if [ -n "${DRY_RUN:-}" ]; then
  printf '%q ' "${command[@]}"
  echo
  exit 0
fi
command -v "${profiler[0]}" >/dev/null ||
  { echo "profile: ${profiler[0]} is not on PATH; it comes with the CUDA toolkit" >&2; exit 1; }
"${command[@]}"
if [ "$mode" = timeline ]; then
  nsys stats --report cuda_gpu_kern_sum --format column "$report.nsys-rep"
  echo "profile: $report.nsys-rep holds the whole timeline"
fi
