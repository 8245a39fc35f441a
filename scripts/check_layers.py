#!/usr/bin/env python3
"""Checks who includes whom: the picture under "Layout" in the README, as rules. Prints each breach as
FILE:LINE and exits 1 when there is one."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUFFIXES = {".h", ".cpp", ".inc", ".cu", ".cuh"}

# Folder -> the folders it includes, itself not named. A name with a suffix is one file.
ALLOWED = {
    "src/main.cpp": {"app", "base"},
    "src/no_cuda.cpp": {"cuda/cuda_backend.h", "base"},
    "src/app": {"infer", "inspect", "text", "cpu", "cuda/cuda_backend.h", "model", "gguf", "base"},
    "src/inspect": {"infer", "model", "quant", "base"},
    "src/infer": {"text", "model", "base"},
    "src/cpu": {"infer/backend.h", "infer/kv_layout.h", "infer/probe.h", "model", "quant", "base"},
    "src/model": {"gguf", "quant", "base"},
    "src/text": {"gguf", "base"},
    "src/gguf": {"base"},
    "src/quant": {"base"},
    "src/base": set(),
    "cuda": {"infer/backend.h", "infer/common_chain.h", "infer/kv_layout.h", "infer/probe.h", "model",
             "gguf/model_files.h", "quant", "base"},
    "cuda/kernels": {"cuda", "infer/random.h", "quant", "base"},
    "cuda/device": {"quant/blocks.h", "base/half.h"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CUDA_HEADER = re.compile(r"^(cuda|cublas|cuda/|nv|thrust/|cub/|mma\.h|driver_types)")


def layer_of(path):
    """The most specific key of ALLOWED that holds the file."""
    name = path.as_posix()
    fitting = [key for key in ALLOWED if name == key or name.startswith(key + "/")]
    return max(fitting, key=len, default=None)


def quoted_breach(path, layer, target):
    """Why the file may not include a header of ours, or None."""
    own = layer.removeprefix("src/")
    if layer.startswith("src/") and (target.startswith("src/") or "/" not in target):
        return "names the header from src, as in \"base/error.h\""
    if layer.startswith("cuda") and "/" not in target:
        return "names the header from the top, as in \"cuda/check.h\""
    if target.startswith(own + "/"):
        return None
    if any(target == allowed or target.startswith(allowed + "/") for allowed in ALLOWED[layer]):
        return None
    return f"{layer} may include {', '.join(sorted(ALLOWED[layer])) or 'only itself'}"


def system_breach(path, header):
    """Why the file may not include a header of the system or of a library, or None."""
    if header.startswith("fmt/") and path.suffix != ".cpp":
        return "fmt is included in .cpp files alone; nvcc and readers of headers never see it"
    if header.startswith("CLI/") and not re.fullmatch(r"src/app/options\w*\.cpp", path.as_posix()):
        return "CLI11 is for src/app/options*.cpp alone"
    if path.parts[0] == "src" and CUDA_HEADER.match(header):
        return "src compiles without the CUDA toolkit"
    if path.as_posix() == "cuda/cuda_backend.h" and CUDA_HEADER.match(header):
        return "src includes this header, and compiles without the CUDA toolkit"
    return None


def breaches_of(path):
    relative = path.relative_to(ROOT)
    layer = layer_of(relative)
    if layer is None:
        yield 0, "is in no layer; add its folder to scripts/check_layers.py"
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if path.suffix in {".h", ".cuh"} and re.match(r"\s*using\s+namespace\b", line):
            yield number, "using namespace in a header"
        match = INCLUDE.match(line)
        if not match:
            continue
        check = quoted_breach(relative, layer, match[2]) if match[1] == '"' else system_breach(relative, match[2])
        if check:
            yield number, f"includes {match[2]}: {check}"


def main():
    files = sorted(p for folder in ("src", "cuda") for p in (ROOT / folder).rglob("*") if p.suffix in SUFFIXES)
    if not files:
        sys.exit(f"check_layers: no sources under {ROOT}")
    count = 0
    for path in files:
        for number, problem in breaches_of(path):
            print(f"{path.relative_to(ROOT)}:{number}: {problem}")
            count += 1
    if count:
        sys.exit(f"check_layers: {count} breaches in {len(files)} files")
    print(f"check_layers: {len(files)} files, no breach")


if __name__ == "__main__":
    main()
