"""Words as a keyword spotter hears them: one second of sound as 49 frames of 10 mel cepstral
coefficients, of spoken digits.
"""
