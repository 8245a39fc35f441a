#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test; ends in ctest's own summary and its exit status.
#
#   scripts/test.sh [--sanitize address|thread | --valgrind] [ARGUMENTS OF CTEST...]     e.g. scripts/test.sh -L faults
#
# --sanitize address: AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer; thread: ThreadSanitizer. Each has a
# build folder of its own and no CUDA. --valgrind: the main job, on a tiny model, under valgrind, instead of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-}
build_arguments=()
case $mode in
  --sanitize)
    case ${2:-} in
      address) build_arguments=(--sanitize address,undefined) ;;
      thread) build_arguments=(--sanitize thread) ;;
      *) echo "test: --sanitize needs address or thread" >&2; exit 2 ;;
    esac
    export HAIKUDA_CMAKE_ARGS="-DHAIKUDA_CUDA=OFF ${HAIKUDA_CMAKE_ARGS:-}"
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
    shift 2
    ;;
  --valgrind) shift ;;
esac

scripts/setup.sh
folder=$(scripts/build.sh ${build_arguments[@]+"${build_arguments[@]}"})

if [ "$mode" = --valgrind ]; then
  command -v valgrind >/dev/null || { echo "test: no valgrind; on Debian: apt-get install valgrind" >&2; exit 2; }
  exec ctest --test-dir "$folder" --verbose -R '^valgrind$' "$@" </dev/null
fi

scripts/fetch_model.sh smollm2-135m ||
  echo "test: without smollm2-135m the tests of a real model are skipped" >&2
# ThreadSanitizer does not know address spaces as random as newer systems make them.
runner=()
[ "${build_arguments[*]-}" != "--sanitize thread" ] || runner=(setarch -R)
exec ${runner[@]+"${runner[@]}"} ctest --test-dir "$folder" --output-on-failure --timeout 1200 "$@" </dev/null
