"""What is done with a network: models, methods, calibration, training, adapting, verifying.

Knows device, image, datasets and golden.
"""
