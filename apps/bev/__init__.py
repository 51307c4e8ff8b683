"""Bird's-eye-view maps of vehicles, road and lanes from the cameras of a vehicle (CoBEVT)."""
