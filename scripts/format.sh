#!/usr/bin/env bash
# Formats the C++ and CUDA sources with clang-format 14; --check only says which files would change.
set -euo pipefail
cd "$(dirname "$0")/.."

clang_format=$(command -v clang-format-14 || command -v clang-format) ||
  { echo "format: install clang-format-14" >&2; exit 1; }
"$clang_format" --version | grep -q 'version 14\.' ||
  { echo "format: version 14 is wanted, this is $("$clang_format" --version)" >&2; exit 1; }

mode=(-i)
[ "${1:-}" != --check ] || mode=(--dry-run --Werror)
find src cuda tests -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 "$clang_format" "${mode[@]}"
