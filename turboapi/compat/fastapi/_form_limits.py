"""`fastapi._form_limits`: private names that published code imports."""

from turboapi._plan.forms import FormLimits as _FormLimits
from turboapi._plan.forms import validate_form_limits as _validate_form_limits

__all__ = ["_FormLimits", "_validate_form_limits"]
