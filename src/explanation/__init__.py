"""Explanations of a trained network: maps, channels and class images, drawn, kept as arrays, and measured."""
