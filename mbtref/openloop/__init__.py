"""What no stream holds: the forward pass of training and figures, its likelihoods, and latent buffers."""
