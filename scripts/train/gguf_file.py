"""Writes GGUF version 3 files: metadata and tensors in F32, F16 or Q8_0.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

ALIGNMENT = 32
BLOCK = 32  # weights in a Q8_0 block: one F16 scale and 32 signed bytes
F32, F16, Q8_0 = 0, 1, 8  # ggml tensor types
Value = str | bool | int | float | list[str] | list[int]


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    """Type number and value; integers are UINT32, lists of them INT32 (as llama.cpp writes token types)."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def quantize_q8_0(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales (rows, blocks) as F16 and values (rows, blocks, 32), as ggml's quantize_row_q8_0_ref does."""
    blocks = weights.astype(np.float32).reshape(len(weights), -1, BLOCK)
    scale = np.abs(blocks).max(-1) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    scaled = blocks * inverse[..., None]
    values = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)  # roundf: halves away from zero
    return scale.astype(np.float16), values


def dequantize_q8_0(scale: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (scale.astype(np.float32)[..., None] * values).reshape(len(values), -1)


def tensor_bytes(weights: np.ndarray, kind: int) -> bytes:
    if kind == Q8_0:
        scale, values = quantize_q8_0(weights)
        return np.concatenate([scale[..., None].view(np.uint8), values.view(np.uint8)], axis=-1).tobytes()
    return np.ascontiguousarray(weights, np.float16 if kind == F16 else np.float32).tobytes()


def write_gguf(path: Path, metadata: dict[str, Value], tensors: dict[str, np.ndarray], matrix_kind: int) -> int:
    """Matrices in matrix_kind, vectors in F32. Returns the file's size."""
    infos, data = b"", bytearray()
    for name, weights in tensors.items():
        kind = matrix_kind if weights.ndim == 2 else F32
        data += bytes(-len(data) % ALIGNMENT)
        shape = weights.shape[::-1]  # GGUF lists the contiguous dimension first
        infos += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
        data += tensor_bytes(weights, kind)
    data += bytes(-len(data) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_string(key) + _value(value) for key, value in metadata.items()) + infos
    path.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)
    return path.stat().st_size
