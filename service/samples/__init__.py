"""What executions say of training images: the table, its pictures, and what is left out of training by it."""
