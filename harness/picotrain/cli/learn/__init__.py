"""Verbs of room `learn`: adapt, pretrain, verify, and what there is to do it with."""
