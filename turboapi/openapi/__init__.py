"""The OpenAPI document: its models, and how an application is described with them."""
