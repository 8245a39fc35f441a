#!/usr/bin/env bash
# Static analysis: clang-tidy with .clang-tidy and cppcheck over everything that is compiled without CUDA. Exits 1 when
# one of them has something to say.
#
#   scripts/analyze.sh [BUILD FOLDER, default: build] [FILE...]     FILE: only these of src and tests
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-build}
shift || true
for tool in clang-tidy cppcheck; do
  command -v "$tool" >/dev/null || { echo "analyze: no $tool; on Debian: apt-get install clang-tidy cppcheck" >&2; exit 2; }
done
[ -f "$folder/compile_commands.json" ] || { echo "analyze: build first: scripts/build.sh" >&2; exit 2; }
files=("$@")
[ $# -gt 0 ] || mapfile -t files < <(find src tests -name '*.cpp' ! -path 'tests/cuda/*' |
  grep -vE '^tests/fuzz/(seeds|libfuzzer_main)\.cpp$' | sort)  # these two are compiled for libFuzzer alone

found=0
echo "clang-tidy: ${#files[@]} files"
# The build is GCC's, some of whose warnings clang does not know.
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "${HAIKUDA_JOBS:-2}" \
  clang-tidy -p "$folder" --quiet --extra-arg=-Wno-unknown-warning-option 2>/dev/null || found=1

# Style is clang-format's and the reviewer's; what is suppressed by name is a false alarm of this version:
# concepts it cannot parse, and references that emplace_back gives into deques, which stay valid.
echo "cppcheck: src"
cppcheck --std=c++20 --language=c++ --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet \
  -j "${HAIKUDA_JOBS:-2}" -I src -I . --suppress=missingIncludeSystem --suppress=internalAstError --suppress=syntaxError \
  --suppress=returnDanglingLifetime src || found=1
exit $found
