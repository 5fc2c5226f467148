"""Fixed values of the OpenAPI document."""

METHODS_WITH_BODY = {"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
REF_PREFIX = "#/components/schemas/"
REF_TEMPLATE = REF_PREFIX + "{model}"
