"""Errors that become a metav1.Status on the wire. Owns: the mapping of reason to code and the usual messages."""


class ApiError(Exception):
    """An answer that is not a success; `status()` is its body."""

    def __init__(self, code, reason, message, details=None, headers=None):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.headers = headers or {}

    def status(self):
        out = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            out["details"] = self.details
        out["code"] = self.code
        return out


def qualified(res):
    return res.plural + ("." + res.group if res.group else "")


def _details(res, name, **more):
    out = {}
    if name:
        out["name"] = name
    if res.group:
        out["group"] = res.group
    out["kind"] = res.plural
    out.update(more)
    return out


def not_found(res, name):
    return ApiError(
        404, "NotFound", '%s "%s" not found' % (qualified(res), name), _details(res, name)
    )


def already_exists(res, name):
    return ApiError(
        409, "AlreadyExists", '%s "%s" already exists' % (qualified(res), name), _details(res, name)
    )


def conflict(res, name, why=None):
    why = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    return ApiError(
        409,
        "Conflict",
        'Operation cannot be fulfilled on %s "%s": %s' % (qualified(res), name, why),
        _details(res, name),
    )


def bad_request(message):
    return ApiError(400, "BadRequest", message)


def forbidden(res, name, why):
    return ApiError(
        403,
        "Forbidden",
        '%s "%s" is forbidden: %s' % (qualified(res), name, why),
        _details(res, name),
    )


def no_such_path():
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed():
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def gone(message):
    return ApiError(410, "Expired", message)


class Cause:
    """One field error; the texts follow apimachinery's field.Error."""

    def __init__(self, reason, field, message):
        self.reason = reason
        self.field = field
        self.message = message

    def __str__(self):
        return "%s: %s" % (self.field, self.message)


def show(value):
    import json

    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, separators=(",", ":"))


def f_invalid(field, value, why):
    return Cause("FieldValueInvalid", field, "Invalid value: %s: %s" % (show(value), why))


def f_required(field, why=""):
    return Cause("FieldValueRequired", field, "Required value" + (": " + why if why else ""))


def f_forbidden(field, why):
    return Cause("FieldValueForbidden", field, "Forbidden: " + why)


def f_duplicate(field, value):
    return Cause("FieldValueDuplicate", field, "Duplicate value: " + show(value))


def f_unsupported(field, value, allowed):
    return Cause(
        "FieldValueNotSupported",
        field,
        "Unsupported value: %s: supported values: %s"
        % (show(value), ", ".join(show(a) for a in allowed)),
    )


def f_type(field, value, why):
    return Cause("FieldValueTypeInvalid", field, "Invalid value: %s: %s" % (show(value), why))


def invalid(res, name, causes):
    """422 with the field errors."""
    texts = [str(c) for c in causes]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = {
        "name": name,
        "kind": res.kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
    }
    if res.group:
        details["group"] = res.group
    kind = res.kind + ("." + res.group if res.group else "")
    return ApiError(422, "Invalid", '%s "%s" is invalid: %s' % (kind, name, joined), details)
