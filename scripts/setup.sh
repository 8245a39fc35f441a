#!/usr/bin/env bash
# Installs the Debian packages that building, testing and fetching models need and this system lacks: quiet when
# nothing is missing. Without root, or without apt-get, it says what to install.
set -euo pipefail

readonly tools=(g++ cmake ninja pkg-config python3 curl)  # as commands, wherever they come from
readonly libraries=(libfmt-dev libcli11-dev nlohmann-json3-dev libpcre2-dev libedit-dev catch2 ca-certificates
                    python3-jsonschema)  # the last for tests alone

package_of() {
  case "$1" in
    ninja) echo ninja-build ;;
    *) echo "$1" ;;
  esac
}

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for tool in "${tools[@]}"; do
  command -v "$tool" >/dev/null || missing+=("$(package_of "$tool")")
done
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)

if ! command -v apt-get >/dev/null; then
  # CMake downloads the libraries that it does not find.
  [ ${#missing[@]} -eq 0 ] && exit 0
  echo "setup: install these, under whatever name this system has for them: ${missing[*]}" >&2
  exit 1
fi

for library in "${libraries[@]}"; do
  is_installed "$library" || missing+=("$library")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "setup: these packages are missing; install them with: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -o Acquire::Retries=3 -qq update >&2
apt-get -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -qq -y install --no-install-recommends "${missing[@]}" >&2
