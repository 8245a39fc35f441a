#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs each for some time; ends in a table, and in 1 when something was found.
#
#   scripts/fuzz.sh [SECONDS PER TARGET, default 60] [TARGET...]     e.g. scripts/fuzz.sh 600 gguf_parse chat_template
#
# Inputs that reach new code stay in build-fuzz/corpus/, what was found in build-fuzz/findings/. A finding that is
# fixed belongs into tests/fuzz/corpus/<target>/, which ctest replays (fuzz_replay).
set -euo pipefail
cd "$(dirname "$0")/.."

all=(gguf_parse model_load dequantize tokenizer tokenizer_metadata detokenizer chat_template sampler options)
seconds=${1:-60}
shift || true
targets=("$@")
[ $# -gt 0 ] || targets=("${all[@]}")

clang=${CLANG:-$(command -v clang++-14 || command -v clang++)} || {
  echo "fuzz: no clang++; on Debian: apt-get install clang libclang-rt-14-dev" >&2
  exit 2
}
folder=build-fuzz
{
  cmake -S tests/fuzz -B "$folder" -DCMAKE_CXX_COMPILER="$clang"
  cmake --build "$folder" -j "$(nproc)" --target fuzz_seeds "${targets[@]/#/fuzz_}"
} > "$folder.log" 2>&1 || { tail -30 "$folder.log" >&2; exit 2; }
mv "$folder.log" "$folder/build.log"

# Made afresh: libFuzzer reads them with the kept inputs, and writes only to the first folder it is given.
rm -rf "$folder/seeds"
"$folder/fuzz_seeds" "$folder/seeds"
mkdir -p "$folder/seeds/chat_template"
cp tests/golden/chat_template/templates/*.jinja "$folder/seeds/chat_template/"

# The options of libFuzzer that differ: a file is parsed in 64 MiB, a template may take some hundred.
options_of() {
  case $1 in
    gguf_parse | tokenizer_metadata) echo "-dict=tests/fuzz/gguf.dict -max_len=16384 -malloc_limit_mb=64" ;;
    model_load) echo "-dict=tests/fuzz/gguf.dict -max_len=65536 -malloc_limit_mb=64" ;;
    chat_template) echo "-dict=tests/fuzz/jinja.dict -max_len=8192" ;;
    options) echo "-dict=tests/fuzz/options.dict -max_len=1024" ;;
    dequantize) echo "-max_len=640" ;;  # three blocks of the largest type
    *) echo "-max_len=2048" ;;
  esac
}

# The value of the last "name: N" or "name::  N" in the log.
last_of() { grep -aoE "$1:+ +[0-9]+" "$2" | tail -1 | grep -oE '[0-9]+$' || echo 0; }

found=0
rows=()
export ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
for target in "${targets[@]}"; do
  corpus=$folder/corpus/$target findings=$folder/findings/$target log=$folder/$target.log
  mkdir -p "$corpus" "$findings" "$folder/seeds/$target" "tests/fuzz/corpus/$target"
  rm -f "$findings"/*
  # shellcheck disable=SC2046
  nice timeout -k 10 $((seconds + 120)) "$folder/fuzz_$target" "$corpus" "tests/fuzz/corpus/$target" "$folder/seeds/$target" \
    -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 -artifact_prefix="$findings/" \
    $(options_of "$target") > "$log" 2>&1 < /dev/null && status=0 || status=$?
  n=$(find "$findings" -type f ! -name 'slow-unit-*' | wc -l)
  [ "$status" -eq 0 ] || [ "$n" -gt 0 ] || n="exit status $status"
  [ "$n" = 0 ] || found=1
  runs=$(last_of stat::number_of_executed_units "$log")
  [ "$runs" != 0 ] || runs=$(grep -aoE '^#[0-9]+' "$log" | tail -1 | tr -d '#' || true)
  rows+=("$(printf '%-20s %10s %8s %8s  %s' "$target" "$runs" "$(last_of cov "$log")" "$(find "$corpus" -type f | wc -l)" "$n")")
  echo "${rows[-1]}" >&2
done

printf '\n%-20s %10s %8s %8s  %s\n' target runs edges inputs findings
printf '%s\n' "${rows[@]}"
exit $found
