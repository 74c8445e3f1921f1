"""What the verbs after training share: a checkpoint loaded, images read, logits out."""
