"""Pictures that a network makes: feature visualisation and DeepDream, on one loop."""
