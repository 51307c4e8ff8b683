"""Reading of nuScenes: its tables, its map expansion, and the labels made of them."""
