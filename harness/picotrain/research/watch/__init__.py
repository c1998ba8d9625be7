"""A watch gets to know its wearer: a network that knows nine people's exercises meets the tenth,
and adapts to the first seconds of each recording, by every method.
"""
