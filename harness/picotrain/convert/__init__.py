"""Networks from elsewhere: an int8 .tflite file becomes a backbone, and is compared with TFLite
Micro, tensor by tensor.
"""
