#!/usr/bin/env python3
"""Plants one mistake at a time into a checkout, builds, and runs the test that must notice. Undoes it, also when interrupted.

    tests/mutations.py BUILD_FOLDER [NAME ...]        NAME: only these; --list names them
    tests/mutations.py --cuda OUT BUILD_FOLDER        the mistakes in kernels: an executable of each goes to OUT,
    tests/mutations.py --run OUT                      and is run there, where there is a GPU

Exits 1 when a mistake went unnoticed. tests/README.md says what each stands for. Sources must be as committed."""
import argparse
import contextlib
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
    ("parts not waited for", "src/base/part_workers.cpp", "  join();\n  const std::lock_guard", "  const std::lock_guard", "unit"),
    ("exception of a thread lost", "src/base/part_workers.cpp", "    if (!error_) error_ = std::current_exception();\n", "",
     "unit"),
    ("no memory taken for a bad pattern", "src/text/pretokenizer.cpp", "error == PCRE2_ERROR_HEAP_FAILED", "false",
     "allocation_failures"),
    ("cache not checked", "src/cpu/kv_cache.cpp", "if (!data_)", "if (false)", "allocation_failures"),
    ("seed ignored", "src/app/run_setup.cpp", "o.seed ? *o.seed : random_bits() >> 1;", "random_bits() >> 1;", "determinism"),
    ("chunks change the bits", "src/cpu/forward.cpp", "  const float* last = x +",
     "  x[0] += static_cast<float>(n) * 1e-2f;\n  const float* last = x +", "determinism"),
    ("raw text on a terminal", "src/app/text_sink.cpp", "buffer_ += for_terminal(text);", "buffer_ += text;", "terminal"),
    ("raw name on a terminal", "src/app/find_model.cpp", "printable(path_or_name), printable(model_folder())",
     "path_or_name, printable(model_folder())", "terminal"),
    ("a cache too small", "src/cpu/kv_cache.cpp", "std::calloc(layout_.total_elems(),", "std::calloc(layout_.total_elems() / 4,", "valgrind"),
    ("a text that is kept", "src/app/generate_command.cpp", "  run.text = {};\n",
     "  run.text = {};\n  static std::vector<std::string> kept;\n  kept.emplace_back(1 << 14, 'x');\n", "soak"),
    ("a user's special tokens", "src/text/encode_pieces.cpp", "while (match && !of_template.contain(*match)) match",
     "while (false) match", "security"),
    ("halves of another row", "cuda/token_slots.cpp", "rounded_up(ceil_of(shape.row_stride, 2), 16), rest",
     "rounded_up(ceil_of(span_bytes, 2), 16), rest", "token_slots"),
]

# The same for kernels and what drives them; the last is the test of haikuda_cuda_tests that notices.
CUDA_MUTATIONS = [
    ("upload not waited for", "cuda/upload.cpp", "  workers_->wait();\n", "", "upload: tensors of any size*"),
    ("cuBLASLt status ignored", "cuda/cublas_lt.cpp", "if (status != CUBLAS_STATUS_SUCCESS)", "if (false)",
     "cublas_lt: what the library refuses*"),
    ("unchecked product of scratch", "cuda/forward.cpp", "return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);",
     "return static_cast<unsigned>(a) * static_cast<unsigned>(b);", "scratch: sizes beyond*"),
    ("room of a product unchecked", "cuda/gemm.cpp", "HAIKUDA_CHECK(input_bytes(size) <= input_.bytes() &&",
     "HAIKUDA_CHECK(size <= input_.bytes() ||", "gemm: more than it has room for*"),
    ("float atomic", "cuda/kernels/attention_decode.cu", """  for (int i = threadIdx.x; i < head_dim; i += kThreads) {
    float x = 0;
#pragma unroll 8
    for (int s = 0; s < n_splits; ++s)
      x += weight_of[s] * first[static_cast<std::int64_t>(s) * (head_dim + 2) + i];
    out[(token * n_heads + head) * head_dim + i] = x / sum;
  }
""", """  float* row = out + (token * n_heads + head) * head_dim;
  for (int i = threadIdx.x; i < head_dim; i += kThreads) row[i] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < head_dim * n_splits; i += kThreads)
    atomicAdd(row + i % head_dim, weight_of[i / head_dim] * first[(i / head_dim) * (head_dim + 2) + i % head_dim] / sum);
""", "attention: three runs*"),
    ("NaN not counted", "cuda/kernels/argmax.cu", "    best = merged(best, values[i],", "    if (!isnan(values[i])) best = merged(best, values[i],",
     "argmax: the lowest of equals*"),
]

TARGETS = {"hostile_bytes": ["haikuda_tests"], "unit": ["haikuda_tests"], "allocation_failures": ["haikuda_allocation_test"],
           "token_slots": ["haikuda_token_slots_test"]}


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)


def is_noticed(folder, test):
    build = run("cmake", "--build", folder, "-j", "1", "--target", *TARGETS.get(test, ["haikuda"]))
    if build.returncode != 0:
        sys.exit(f"mutations: it does not build:\n{build.stdout[-3000:]}")
    done = run("ctest", "--test-dir", folder, "-R", f"^{test}$", "--no-tests=error", "--timeout", "600")
    return "tests failed out of" in done.stdout and "***Skipped" not in done.stdout


@contextlib.contextmanager
def planted(mutation):
    name, file, old, new, _ = mutation
    path = ROOT / file
    text = path.read_text()
    if text.count(old) != 1:
        sys.exit(f"mutations: {name}: {file} has this {text.count(old)} times: {old}")
    try:
        path.write_text(text.replace(old, new))
        yield
    finally:
        path.write_text(text)


def plant(folder, mutation):
    name, file, _, _, test = mutation
    start = time.monotonic()
    with planted(mutation):
        noticed = is_noticed(folder, test)
    print(f"{'noticed  ' if noticed else 'UNNOTICED'} {name:36} {file:34} {test} {time.monotonic() - start:.0f} s", flush=True)
    return noticed


def executable(out, mutation):
    return pathlib.Path(out) / mutation[0].replace(" ", "_")


def build_cuda(folder, out):
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    for mutation in CUDA_MUTATIONS:
        with planted(mutation):
            build = run("cmake", "--build", folder, "-j", "1", "--target", "haikuda_cuda_tests")
            if build.returncode != 0:
                sys.exit(f"mutations: {mutation[0]}: it does not build:\n{build.stdout[-3000:]}")
            run("strip", "-o", executable(out, mutation), f"{folder}/tests/cuda/haikuda_cuda_tests")
    return 0


# A test that did not run has no status of Catch2's, which is the number of assertions that failed.
def run_cuda(out):
    n = 0
    for mutation in CUDA_MUTATIONS:
        done = run(executable(out, mutation), mutation[4])
        noticed = done.returncode != 0 and "test cases:" in done.stdout
        n += noticed
        print(f"{'noticed  ' if noticed else 'UNNOTICED'} {mutation[0]:32} {mutation[1]:36} {mutation[4]}", flush=True)
    print(f"{n} of {len(CUDA_MUTATIONS)} planted mistakes in kernels noticed")
    return 0 if n == len(CUDA_MUTATIONS) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--cuda", metavar="OUT")
    parser.add_argument("--run", metavar="OUT")
    arguments = parser.parse_args()
    if arguments.run:
        return run_cuda(arguments.run)
    if arguments.cuda:
        return build_cuda(arguments.folder, arguments.cuda)
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
