"""A keyword spotter from a .tflite file adapts: MLPerf Tiny's network learns digits, one voice at a
time, and hears them through another microphone.
"""
