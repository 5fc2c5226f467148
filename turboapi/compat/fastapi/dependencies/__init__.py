"""`fastapi.dependencies`: private names that published code imports."""
