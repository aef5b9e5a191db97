"""The Open Inference Protocol, version 2 (KServe, Triton), over REST, with tensors in JSON or in binary."""
