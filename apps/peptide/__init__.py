"""Which peptide a tandem mass spectrum shows: reranking of what de novo tools propose, after RankNovo."""
