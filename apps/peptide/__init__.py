"""Peptide identification from tandem mass spectra: reranking of de novo candidates, after RankNovo."""
