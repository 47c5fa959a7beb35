"""What happens beside the training: evaluation, predictions, figures, health."""
