"""ResLens: train, compare and explain residual networks for image classification."""
