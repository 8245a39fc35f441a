#!/usr/bin/env python3
"""Plants one mistake at a time into a checkout, builds, and runs the test that must notice. Undoes it, also when interrupted.

    tests/mutations.py BUILD_FOLDER [NAME ...]        NAME: only these; --list names them

Exits 1 when a mistake went unnoticed. tests/README.md says what each stands for. Sources must be as committed."""
import argparse
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT_S = 900

# Name, file, text, what replaces it, the ctest case that notices (its build target follows from TARGETS).
MUTATIONS = [
    ("unchecked product", "src/gguf/gguf_file.cpp", "if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;", "out = a * b;",
     "hostile_bytes"),
    ("unchecked sum", "src/gguf/gguf_file.cpp", "if (__builtin_add_overflow(a, b, &out)) return std::nullopt;", "out = a + b;",
     "hostile_bytes"),
    ("no cap of metadata memory", "src/gguf/metadata_reader.cpp", "if (bytes > left_)", "if (bytes > kMaxMetadataBytes * 64)",
     "hostile_bytes"),
    ("array beyond the file", "src/gguf/metadata_reader.cpp", "n > in.remaining() / scalar_bytes(type) || ", "", "hostile_bytes"),
    ("string beyond the file", "src/gguf/cursor.cpp", "if (length > remaining())", "if (length > max_bytes + remaining())",
     "hostile_bytes"),
    ("zero dimension", "src/gguf/gguf_file.cpp", "if (dims[d] == 0)", "if (false)", "hostile_bytes"),
    ("tensor beyond the file", "src/gguf/gguf_file.cpp", "if (!end || *end > data_bytes)", "if (!end)", "hostile_bytes"),
    ("overlapping tensors", "src/gguf/gguf_file.cpp", "> by_offset[i]->offset)", "> by_offset[i]->offset + (1u << 20))",
     "hostile_bytes"),
    ("raw key in a message", "src/gguf/metadata_reader.cpp", "outside [0-9a-zA-Z_.-]\", printable(raw)",
     "outside [0-9a-zA-Z_.-]\", raw", "hostile_bytes"),
    ("short token_type", "src/text/vocabulary.cpp", "if (types->size() < texts_.size())", "if (types->empty())", "hostile_files"),
    ("loose byte token", "src/text/spm.cpp", "if (error != std::errc{} || stop != end) return std::nullopt;", "",
     "hostile_files"),
    ("no cap of range()", "src/text/jinja/members.cpp", "== kMaxRange)", "== kMaxRange * 1000)", "hostile_files"),
    ("layer count unchecked", "src/model/config.cpp", "keys.integer(\"block_count\", 1, kMaxLayers)",
     "keys.integer(\"block_count\", 0, kMaxLayers)", "hostile_files"),
    ("logits that are no numbers", "src/infer/backend.cpp", "if (!std::isfinite(logits[i]))", "if (false)", "hostile_files"),
    ("bus errors not caught", "src/base/map_guard.cpp", "::sigaction(SIGBUS, &action, nullptr);", "", "faults"),
    ("changes of the file unnoticed", "src/base/mapped_file.cpp", "stamp_of(status) == stamp_) return;", "true) return;", "faults"),
    ("write errors ignored", "src/app/text_sink.cpp", "    if (n < 0)\n      throw", "    if (n < 0) break;\n    if (n < -1)\n      throw",
     "faults"),
    ("closed streams left closed", "src/main.cpp", "  haikuda::reserve_standard_streams();\n", "", "faults"),
    ("a thread destroyed while it runs", "src/base/thread_pool.cpp", "    stop();  // a thread that runs must not be destroyed\n", "",
     "allocation_failures"),
    ("no memory taken for a bad pattern", "src/text/pretokenizer.cpp", "error == PCRE2_ERROR_HEAP_FAILED", "false",
     "allocation_failures"),
    ("cache not checked", "src/cpu/kv_cache.cpp", "if (!data_)", "if (false)", "allocation_failures"),
    ("seed ignored", "src/app/run_setup.cpp", "o.seed ? *o.seed : random_bits() >> 1;", "random_bits() >> 1;", "determinism"),
    ("chunks change the bits", "src/cpu/forward.cpp", "  const float* last = x +",
     "  x[0] += static_cast<float>(n) * 1e-2f;\n  const float* last = x +", "determinism"),
    ("raw text on a terminal", "src/app/text_sink.cpp", "buffer_ += for_terminal(text);", "buffer_ += text;", "terminal"),
    ("raw name on a terminal", "src/app/find_model.cpp", "printable(path_or_name), printable(model_folder())",
     "path_or_name, printable(model_folder())", "terminal"),
]

TARGETS = {"hostile_bytes": ["haikuda_tests"], "allocation_failures": ["haikuda_allocation_test"]}


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)


def is_noticed(folder, test):
    build = run("cmake", "--build", folder, "-j", "1", "--target", *TARGETS.get(test, ["haikuda"]))
    if build.returncode != 0:
        sys.exit(f"mutations: it does not build:\n{build.stdout[-3000:]}")
    done = run("ctest", "--test-dir", folder, "-R", f"^{test}$", "--no-tests=error", "--timeout", "600")
    return "tests failed out of" in done.stdout and "***Skipped" not in done.stdout


def plant(folder, mutation):
    name, file, old, new, test = mutation
    path = ROOT / file
    text = path.read_text()
    if text.count(old) != 1:
        sys.exit(f"mutations: {name}: {file} has this {text.count(old)} times: {old}")
    start = time.monotonic()
    try:
        path.write_text(text.replace(old, new))
        noticed = is_noticed(folder, test)
    finally:
        path.write_text(text)
    print(f"{'noticed  ' if noticed else 'UNNOTICED'} {name:36} {file:34} {test} {time.monotonic() - start:.0f} s", flush=True)
    return noticed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list or not arguments.folder:
        print("\n".join(m[0] for m in MUTATIONS))
        return 0
    wanted = [m for m in MUTATIONS if not arguments.names or m[0] in arguments.names]
    noticed = [plant(arguments.folder, m) for m in wanted]
    print(f"{sum(noticed)} of {len(noticed)} planted mistakes noticed")
    run("cmake", "--build", arguments.folder, "-j", "1")
    return 0 if all(noticed) else 1


if __name__ == "__main__":
    sys.exit(main())
