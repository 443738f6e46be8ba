"""Apache Kafka behind the broker interface."""
