#!/usr/bin/env bash
# Builds. With CUDA when the toolkit is there; nvcc need not be on PATH when it is in /usr/local/cuda.
#
#   scripts/build.sh [--sanitize LIST] [--target TARGET]
#
# LIST (e.g. address,undefined or thread) builds into build-LIST instead of build. HAIKUDA_JOBS: processes at once, 2
# unless set. HAIKUDA_CMAKE_ARGS: more arguments for CMake, e.g. "-DCMAKE_CUDA_ARCHITECTURES=80".
# Prints the build folder on stdout, everything else on stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

sanitize='' target=all
while [ $# -gt 0 ]; do
  case "$1" in
    --sanitize) sanitize=$2; shift 2 ;;
    --target) target=$2; shift 2 ;;
    *) echo "build: unknown argument $1; see the head of $0" >&2; exit 2 ;;
  esac
done

folder=build
arguments=()
if [ -n "$sanitize" ]; then
  folder=build-${sanitize//,/-}
  arguments+=("-DHAIKUDA_SANITIZE=$sanitize")
fi
[ -f "$folder/CMakeCache.txt" ] || arguments+=(-G Ninja)
command -v nvcc >/dev/null || [ ! -x /usr/local/cuda/bin/nvcc ] || export PATH="$PATH:/usr/local/cuda/bin"
# shellcheck disable=SC2206  # several arguments in one variable
arguments+=(${HAIKUDA_CMAKE_ARGS:-})

cmake -S . -B "$folder" ${arguments[@]+"${arguments[@]}"} >&2
cmake --build "$folder" --parallel "${HAIKUDA_JOBS:-2}" --target "$target" >&2
echo "$folder"
