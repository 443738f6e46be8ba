"""The paper's benchmarks, learned as streams that are told their boundaries."""
