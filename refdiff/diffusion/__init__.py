"""The mathematics of diffusion: schedules, predictions, guidance, samplers, one loop."""
