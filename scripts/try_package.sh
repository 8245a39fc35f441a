#!/usr/bin/env bash
# Makes the Debian package of a finished build, installs it into a fresh, minimal Debian 12 and runs it there: by hand, as
# root, with a network and debootstrap. Nothing of CUDA is in that system, so a build with CUDA must fall back to the CPU.
#
#   scripts/try_package.sh [BUILD_FOLDER, default: build]
#
# Prints what it tries, the exit codes among it; exits 1 when something differs from what is expected.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap >/dev/null; then
  echo "try_package: needs root and debootstrap (apt-get install debootstrap)" >&2
  exit 2
fi

work=$(mktemp -d)
root=$work/root
at_exit() {
  umount -q "$root/proc" || true
  rm -rf --one-file-system "$work"
}
trap at_exit EXIT

cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/made" >"$work/log" 2>&1 || { tail "$work/log"; exit 1; }
package=$(ls "$work"/made/haikuda_*.deb)
dpkg-deb -f "$package" Package Version Installed-Size Depends Recommends
echo "== a minimal Debian 12"
debootstrap --variant=minbase bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/log" 2>&1 || { tail "$work/log"; exit 1; }
cp "$package" "$root/root/haikuda.deb"
"$build/tests/haikuda_make_tiny_model" qwen2 Q8_0 "$root/root/tiny.gguf" --embd 64 --ff 96
echo "== apt-get install"
chroot "$root" sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends /root/haikuda.deb' >"$work/log" 2>&1 ||
  { tail "$work/log"; exit 1; }
chroot "$root" ldconfig -p | grep -i -E 'libcu|nvidia' && { echo "try_package: that system has CUDA" >&2; exit 1; }

status=0
# expect EXIT_CODE COMMAND…
expect() {
  local want=$1 rc=0
  shift
  chroot "$root" "$@" </dev/null >"$work/out" 2>&1 || rc=$?
  echo "== $* -> $rc"
  awk 'NR <= 4 { print "   " $0 }' "$work/out"
  [ "$rc" -eq "$want" ] || { echo "try_package: expected exit code $want" >&2; status=1; }
}
run() {
  expect 0 haikuda --version
  expect 0 haikuda devices
  expect 0 haikuda info /root/tiny.gguf
  expect 0 haikuda -m /root/tiny.gguf -p hello -n 8 --temp 0
  expect 5 haikuda -m /root/tiny.gguf -p hello -n 8 --device cuda
}
echo "== without /proc, as in a bare chroot"
run
echo "== with /proc"
mount -t proc proc "$root/proc"
run
for file in /usr/share/man/man1/haikuda.1.gz /usr/share/bash-completion/completions/haikuda /usr/share/haikuda/models.txt; do
  # Debian's own images leave manual pages out when they install; debootstrap does not.
  expect 0 test -s "$file"
done
expect 0 dpkg --remove haikuda
expect 1 test -e /usr/bin/haikuda
exit $status
