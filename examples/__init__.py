"""Complete applications, each runnable with `turboapi run examples.NAME:app`."""
