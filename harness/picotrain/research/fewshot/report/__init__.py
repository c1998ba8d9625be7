"""The HTML page of a campaign: accuracies, what they cost, and which channels learned."""
