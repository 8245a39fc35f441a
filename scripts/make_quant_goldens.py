#!/usr/bin/env python3
"""Writes tests/golden/quant: blocks of every weight type and the hash of what the gguf package decodes.

usage: make_quant_goldens.py [OUT_DIR]     needs numpy and gguf (pip install gguf)

TYPE.blocks: the bytes; TYPE.hash: one little-endian u64 per chunk of max(block, 32) elements.
"""
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Type -> offsets of its float16 scales.
SCALES = {
    "F32": [], "F16": [], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}  # fmt: skip
# Zeros, subnormals, smallest normal, largest, infinities, NaN.
EDGE_HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]
N_RANDOM = 64
FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def random_chunks(rng, n, chunk_bytes, scales):
    """Random bytes; three of four have scales of plausible size, the rest any bits."""
    chunks = rng.integers(0, 256, (n, chunk_bytes), dtype=np.uint8)
    for at in scales:
        halves = (rng.normal(size=n) * 0.05).astype(np.float16).view(np.uint8).reshape(n, 2)
        plausible = np.arange(n) % 4 != 3
        chunks[plausible, at : at + 2] = halves[plausible]
    return chunks


def edge_chunks(rng, name, chunk_bytes, scales):
    base = random_chunks(rng, 1, chunk_bytes, scales)[0]
    chunks = [np.full(chunk_bytes, b, np.uint8) for b in (0x00, 0xFF)]
    for at in scales:
        for half in EDGE_HALVES:
            chunk = base.copy()
            chunk[at : at + 2] = [half & 0xFF, half >> 8]
            chunks.append(chunk)
    # Every other byte (high bits, packed scales, quants) at its extremes under ordinary scales.
    for pattern in (0x00, 0xFF, 0x01, 0x80, 0x0F, 0xF0, 0x3F, 0xC0, 0x55, 0xAA):
        chunk = np.full(chunk_bytes, pattern, np.uint8)
        for at in scales:
            chunk[at : at + 2] = [0x66, 0x2E]
        chunks.append(chunk)
    if name == "MXFP4":  # every exponent
        for e in range(256):
            chunk = base.copy()
            chunk[0] = e
            chunks.append(chunk)
    return np.stack(chunks)


def hash_chunk(values):
    """FNV-1a over the 32-bit words, a NaN counting as 0x7fc00000."""
    words = np.where(np.isnan(values), np.uint32(0x7FC00000), values.view(np.uint32))
    h = FNV_BASIS
    for word in words.tolist():
        h = ((h ^ word) * FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    out_dir = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/quant")
    out_dir.mkdir(parents=True, exist_ok=True)
    np.seterr(all="ignore")
    for name, scales in SCALES.items():
        dtype = GGMLQuantizationType[name]
        block_elems, block_bytes = GGML_QUANT_SIZES[dtype]
        chunk_elems = max(block_elems, 32)
        chunk_bytes = chunk_elems // block_elems * block_bytes
        rng = np.random.default_rng(int(dtype) + 1)
        chunks = np.concatenate(
            [random_chunks(rng, N_RANDOM, chunk_bytes, scales), edge_chunks(rng, name, chunk_bytes, scales)]
        )
        values = dequantize(chunks, dtype).astype(np.float32, copy=False).reshape(len(chunks), chunk_elems)
        (out_dir / f"{name}.blocks").write_bytes(chunks.tobytes())
        (out_dir / f"{name}.hash").write_bytes(np.array([hash_chunk(v) for v in values], "<u8").tobytes())
        print(f"{name:8} {len(chunks):4} chunks of {chunk_elems} elements")
    print(f"numpy {np.__version__}, gguf {version('gguf')}")


if __name__ == "__main__":
    main()
