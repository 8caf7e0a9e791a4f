"""What is predicted: a number, one of two classes, or one of several."""
