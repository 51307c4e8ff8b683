"""The reranking model."""
