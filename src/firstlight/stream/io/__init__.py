"""Where messages come from and where results go: files, pipes, Kafka."""
