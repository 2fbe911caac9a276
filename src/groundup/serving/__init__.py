"""The engine on the network: OpenAI's HTTP interface, its gateway, its replicas."""
