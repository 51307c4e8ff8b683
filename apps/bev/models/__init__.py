"""The networks: SinBEVT, and two baselines that project by explicit geometry."""
