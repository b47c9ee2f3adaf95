"""What one picture's pixels say of its quality: plain functions of arrays, one subject a file."""
