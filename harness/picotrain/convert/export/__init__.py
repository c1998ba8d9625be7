"""Backbones for elsewhere: the blob itself, a C header that holds it, an int8 .tflite file; and the
library in the layout of Arduino."""
